# What `cmake --install` puts where: headers, both forms of the library, the CMake package, kith.pc, the command, its
# man pages and completions. The result can be moved: no file in it holds the prefix.
include(CMakePackageConfigHelpers)

# kith::kith is the shared library here; who wants the archive says kith::kith_static.
set_target_properties(kith_headers PROPERTIES EXPORT_NAME headers)
set_target_properties(kith_shared PROPERTIES EXPORT_NAME kith)
set_target_properties(kith_static PROPERTIES EXPORT_NAME kith_static)
install(TARGETS kith_headers kith_shared kith_static EXPORT kith_targets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/kith DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/kith)
install(EXPORT kith_targets NAMESPACE kith:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/kith-config.cmake.in ${PROJECT_BINARY_DIR}/kith-config.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# 0.x: another minor version is another ABI.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/kith-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/kith-config.cmake ${PROJECT_BINARY_DIR}/kith-config-version.cmake
  DESTINATION ${package_dir})

set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH KITH_PREFIX_FROM_PC "/prefix/${pkgconfig_dir}" /prefix)
configure_file(${CMAKE_CURRENT_LIST_DIR}/kith.pc.in ${PROJECT_BINARY_DIR}/kith.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/kith.pc DESTINATION ${pkgconfig_dir})

if(TARGET kith_cli)
  file(RELATIVE_PATH lib_from_bin "/prefix/${CMAKE_INSTALL_BINDIR}" "/prefix/${CMAKE_INSTALL_LIBDIR}")
  set_target_properties(kith_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${lib_from_bin}")
  install(TARGETS kith_cli)
  set(completions ${PROJECT_SOURCE_DIR}/cli/completions)
  install(FILES ${completions}/kith.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME kith
    OPTIONAL)
  install(FILES ${completions}/_kith DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions OPTIONAL)
  install(FILES ${completions}/kith.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d OPTIONAL)
endif()
if(KITH_BUILD_DOCS)
  install(DIRECTORY ${PROJECT_BINARY_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR} OPTIONAL)
endif()
