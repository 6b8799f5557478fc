# What every target of kith is compiled with. Nothing here touches a parent project's flags: all is per target.

# The folders of src, lowest first: one object library each (src/CMakeLists.txt).
set(KITH_LAYERS base sys compose addresses)

# kith_own(<target>): warnings, language level and sanitizers for a target whose sources are ours.
function(kith_own target)
  target_compile_features(${target} PUBLIC cxx_std_23)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
  if(KITH_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(KITH_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${KITH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    # It asks through a pipe whether memory is there, which tests that use up the descriptors do not leave it.
    if(KITH_SANITIZE MATCHES undefined)
      target_compile_options(${target} PRIVATE -fno-sanitize=vptr)
    endif()
    target_link_options(${target} PRIVATE -fsanitize=${KITH_SANITIZE})
  endif()
endfunction()
