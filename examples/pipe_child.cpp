// pipe_child - a parent that gives its child work through one pipe and reads the result from another.
//
// The child is sort(1). It gets the reading end of the first pipe as standard input and the writing end of the second
// as standard output; the parent closes its own copies of both, or neither side would ever see the end.
#include <array>
#include <cstdio>
#include <string_view>

#include <kith/sys/pipe.hpp>
#include <kith/sys/spawn.hpp>

static int report(const kith::error& failure) {
    std::fprintf(stderr, "pipe_child: %s\n", kith::describe(failure).c_str());
    return 1;
}

int main() {
    auto to_child = kith::sys::open_pipe();
    auto from_child = kith::sys::open_pipe();
    if (!to_child) return report(to_child.error());
    if (!from_child) return report(from_child.error());

    // [spawn]
    const std::array ends{kith::sys::descriptor_for_child{to_child->reader.native(), 0},
                          kith::sys::descriptor_for_child{from_child->writer.native(), 1}};
    auto child = kith::sys::spawn("sort", {}, {.descriptors = ends});
    if (!child) return report(child.error());
    to_child->reader.close();
    from_child->writer.close();

    std::size_t done = 0;
    if (auto sent = to_child->writer.write_full(kith::bytes_of("pipe\nfifo\nqueue\nsocket\nmemory\n"), done); !sent)
        return report(sent.error());
    to_child->writer.close();  // the end of sort's input
    // [/spawn]

    for (std::array<std::byte, 4096> buffer;;) {
        const auto got = from_child->reader.read_some(buffer);
        if (!got && got.error().code() == kith::errc::end_of_stream) break;
        if (!got) return report(got.error());
        std::fwrite(buffer.data(), 1, *got, stdout);
    }
    const auto status = child->wait();
    if (!status) return report(status.error());
    return status->as_shell();
}
