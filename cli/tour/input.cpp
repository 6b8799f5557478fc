#include "tour/input.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "tour/digest.hpp"

namespace kith_cli::tour {
namespace {

outcome<std::string> content_of(const std::string& path) {
    const kith::owned_fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    const auto failed = [&](const char* operation) {
        const auto code = errno == ENOENT                     ? kith::errc::not_found
                          : errno == EACCES || errno == EPERM ? kith::errc::not_permitted
                          : errno == EISDIR                   ? kith::errc::wrong_kind
                                                              : kith::errc::io;
        return std::unexpected{failure{kith::error{code, operation, errno, kith::object_ref::name(path)}}};
    };
    if (!file.valid()) return failed("open");
    std::string content;
    std::vector<char> piece(1 << 20);
    for (;;) {
        const auto n = ::read(file.get(), piece.data(), piece.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed("read");
        if (n == 0) return content;
        content.append(piece.data(), static_cast<std::size_t>(n));
    }
}

// One path a line, sorted, as `find` would list them. What cannot be entered is left out.
std::string listing_of(const std::string& directory) {
    namespace fs = std::filesystem;
    std::vector<std::string> paths;
    std::error_code error;
    for (fs::recursive_directory_iterator at{directory, fs::directory_options::skip_permission_denied, error}, end;
         !error && at != end; at.increment(error))
        paths.push_back(at->path().string());
    std::ranges::sort(paths);
    std::string text;
    for (const auto& path : paths) text.append(path).push_back('\n');
    return text;
}

}  // namespace

outcome<input> make_input(const std::string& file, bool once) {
    auto content = content_of(file.empty() ? "/proc/self/exe" : file);
    if (!content) return pass_on(content);
    if (file.empty()) content->append(listing_of("/usr/include"));

    auto block = kith::sys::memfd::create("kith-tour-input", {.size = content->size()});
    if (!block) return pass_on(block);
    if (!content->empty()) {
        auto memory = block->map();
        if (!memory) return pass_on(memory);
        std::ranges::copy(kith::bytes_of(*content), memory->bytes().begin());
    }
    if (auto sealed = block->add_seals(kith::sys::constant_seals); !sealed) return pass_on(sealed);

    input made{.block = std::move(*block),
               .block_size = content->size(),
               .repeats = 1,
               .sha256 = {},
               .source = file.empty() ? "the kith program and a listing of /usr/include" : file};
    if (!once && !content->empty()) made.repeats = (least_bytes + made.block_size - 1) / made.block_size;
    sha256 digest;
    for (std::uint64_t i = 0; i < made.repeats; ++i) digest.add(kith::bytes_of(*content));
    made.sha256 = digest.hex();
    return made;
}

}  // namespace kith_cli::tour
