// A user's program: compiled in every way that users may compile, linked in every way that they may link.
// Its exit status is 0 if bytes came through a pipe and the library is the one that the headers belong to.
#include <kith/sys/pipe.hpp>
#include <kith/version.hpp>

#if __has_include(<kith/kith.hpp>)
#include <kith/kith.hpp>
#endif

int main() {
    if (kith::library_version() != kith::header_version) return 1;
    auto pipe = kith::sys::open_pipe();
    if (!pipe) return 2;
    if (!pipe->writer.write_some(kith::bytes_of("ping"))) return 3;
    std::byte buffer[4];
    const auto count = pipe->reader.read_some(buffer, kith::deadline::immediate());
    return count && kith::text_of({buffer, *count}) == "ping" ? 0 : 4;
}
