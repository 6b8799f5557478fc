// Addresses: the grammar of kith_addresses(7), and that printing and parsing are inverse.
#include <kith/address.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <string>
#include <vector>

#include "support/scope.hpp"

namespace {

using kith::address;
using kith::address_fault;
using kith::errc;
using kith::scheme;
using kith_test::ok;

address read(std::string_view text) {
    auto parsed = address::parse(text);
    EXPECT_TRUE(ok(parsed)) << text;
    return std::move(*parsed);
}

/// Why a text is refused: "<position>: <reason>"; "accepted" if it is not.
std::string refusal(std::string_view text, errc code = errc::bad_address) {
    address_fault fault;
    const auto parsed = address::parse(text, &fault);
    if (parsed) return "accepted";
    EXPECT_EQ(parsed.error().code(), code) << text;
    EXPECT_LE(fault.position, text.size()) << text;
    return std::to_string(fault.position) + ": " + std::string{fault.reason};
}

TEST(addresses, canonical_texts_read_and_print_unchanged) {
    for (const std::string text : {"fd:0",
                                   "fd:3",
                                   "fd:4711/3",
                                   "fifo:/run/x",
                                   "fifo:x",
                                   "fifo:/with space",
                                   "sysv-mq:0x4b01",
                                   "sysv-mq:0xffffffff",
                                   "sysv-mq:/path?proj=65",
                                   "sysv-mq:./file?proj=255",
                                   "sysv-mq:id=32768",
                                   "sysv-mq:id=0",
                                   "sysv-mq:private",
                                   "sysv-sem:0x1",
                                   "sysv-shm:id=7",
                                   "posix-mq:/jobs",
                                   "posix-sem:/lock",
                                   "posix-shm:/frame",
                                   "unix:/run/x.sock",
                                   "unix:x.sock",
                                   "unix:@abstract",
                                   "unix:@a?type=dgram",
                                   "unix:/s?type=seqpacket",
                                   "unix:%40path",
                                   "unix:@@x",
                                   "tcp:localhost:80",
                                   "tcp:127.0.0.1:0",
                                   "tcp:[::1]:80",
                                   "tcp:[fe80::1%25eth0]:80",
                                   "udp:host.example:65535",
                                   "pid:1",
                                   "pid:2147483647",
                                   "posix-mq:/\xc3\xa4",
                                   "unix:@a%00b%ff"}) {
        const auto canonical = text == "fifo:/with space" ? std::string{"fifo:/with%20space"} : text;
        EXPECT_EQ(read(text).text(), canonical);
        EXPECT_EQ(read(canonical), read(text));
    }
}

TEST(addresses, what_can_be_written_in_several_ways_prints_in_one) {
    EXPECT_EQ(read("sysv-mq:19201").text(), "sysv-mq:0x4b01");
    EXPECT_EQ(read("sysv-mq:0X4B01").text(), "sysv-mq:0x4b01");
    EXPECT_EQ(read("sysv-shm:/p?proj=%36%35").text(), "sysv-shm:/p?proj=65");
    EXPECT_EQ(read("unix:/x?type=stream").text(), "unix:/x");
    EXPECT_EQ(read("fifo:%2Frun%2fx").text(), "fifo:/run/x");
    EXPECT_EQ(read("fd:007").text(), "fd:7");
}

TEST(addresses, every_part_is_readable) {
    EXPECT_EQ(read("fd:4711/3").pid(), 4711);
    EXPECT_EQ(read("fd:4711/3").fd(), 3);
    EXPECT_EQ(read("fd:3").pid(), 0);
    EXPECT_EQ(read("fifo:a%25b%3f").name(), "a%b?");
    EXPECT_EQ(read("sysv-sem:0xffffffff").key(), -1);
    EXPECT_EQ(read("sysv-sem:/p?proj=9").project(), 9);
    EXPECT_EQ(read("sysv-sem:/p?proj=9").naming(), address::sysv_naming::path);
    EXPECT_EQ(read("sysv-sem:id=12").id(), 12);
    EXPECT_EQ(read("sysv-sem:private").naming(), address::sysv_naming::private_object);
    EXPECT_TRUE(read("unix:@x").is_abstract());
    EXPECT_EQ(read("unix:@a%00b").name(), (std::string{"a\0b", 3}));
    EXPECT_FALSE(read("unix:%40x").is_abstract());
    EXPECT_EQ(read("unix:%40x").name(), "@x");
    EXPECT_EQ(read("unix:/x?type=dgram").type(), address::socket_type::datagram);
    EXPECT_EQ(read("tcp:[::1]:80").name(), "::1");
    EXPECT_EQ(read("tcp:[::1]:80").port(), 80);
    EXPECT_EQ(read("pid:12").pid(), 12);
    EXPECT_EQ(read("udp:h:1").mechanism(), scheme::udp);
}

TEST(addresses, reserved_schemes_are_unsupported_not_unknown) {
    for (const std::string text : {"topic:news", "tls:host:443", "ring:r", "inproc:x"})
        EXPECT_EQ(refusal(text, errc::unsupported), "0: this scheme is reserved for a later version of kith");
}

TEST(addresses, refusals_say_where_and_why) {
    EXPECT_EQ(refusal(""), "0: an address begins with a scheme and a colon, as in fifo:/run/x");
    EXPECT_EQ(refusal("/run/x"), "6: an address begins with a scheme and a colon, as in fifo:/run/x");
    EXPECT_TRUE(refusal("FIFO:/x").starts_with("0: unknown scheme; known are fd, fifo, sysv-mq"));
    EXPECT_EQ(refusal("fd:"), "3: a number is missing");
    EXPECT_EQ(refusal("fd:-1"), "3: a decimal number is expected here");
    EXPECT_EQ(refusal("fd:2147483648"), "3: the number is out of range");
    EXPECT_EQ(refusal("fd:99999999999999999999"), "3: the number is out of range");
    EXPECT_EQ(refusal("fd:0/3"), "3: the number is out of range");
    EXPECT_EQ(refusal("fd:12/"), "6: a number is missing");
    EXPECT_EQ(refusal("fd:12/3/4"), "6: a decimal number is expected here");
    EXPECT_EQ(refusal("pid:0"), "4: the number is out of range");
    EXPECT_EQ(refusal("fifo:"), "5: a path is missing");
    EXPECT_EQ(refusal("fifo:/a%00b"), "5: a path cannot hold a NUL byte");
    EXPECT_EQ(refusal("fifo:/a%2"), "7: two hexadecimal digits follow a %; a % itself is written %25");
    EXPECT_EQ(refusal("fifo:/a%zz"), "7: two hexadecimal digits follow a %; a % itself is written %25");
    EXPECT_EQ(refusal({"fifo:/a\0b", 9}), "7: a NUL byte is written %00");
    EXPECT_TRUE(refusal("sysv-mq:").starts_with("8: a System V object is named by"));
    EXPECT_TRUE(refusal("sysv-mq:jobs").starts_with("8: a System V object is named by"));
    EXPECT_TRUE(refusal("sysv-mq:-5").starts_with("8: a System V object is named by"));
    EXPECT_EQ(refusal("sysv-mq:0x100000000"), "8: a key has 32 bits: it is at most 0xffffffff");
    EXPECT_EQ(refusal("sysv-mq:0"), "8: key 0 is IPC_PRIVATE; write private instead");
    EXPECT_EQ(refusal("sysv-mq:/p"), "10: a path needs a project number from 1 to 255, as in ?proj=65");
    EXPECT_EQ(refusal("sysv-mq:/p?proj=0"), "16: a project is a number from 1 to 255");
    EXPECT_EQ(refusal("sysv-mq:/p?proj=256"), "16: a project is a number from 1 to 255");
    EXPECT_EQ(refusal("sysv-mq:id=x"), "11: a decimal number is expected here");
    EXPECT_EQ(refusal("posix-mq:jobs"), "9: the name begins with a slash, as in /jobs");
    EXPECT_EQ(refusal("posix-mq:/"), "10: a name is missing after the slash");
    EXPECT_EQ(refusal("posix-mq:/a/b"), "9: the name has one slash, at its beginning, and no other");
    EXPECT_EQ(refusal("posix-mq:/a%2Fb"), "9: the name has one slash, at its beginning, and no other");
    EXPECT_EQ(refusal("unix:"), "5: a path is missing");
    EXPECT_EQ(refusal("unix:@"), "6: a name is missing after the @");
    EXPECT_EQ(refusal("unix:/x?type=raw"), "13: a type is stream, dgram or seqpacket");
    EXPECT_EQ(refusal("tcp:host"), "8: a colon and a port are missing after the host");
    EXPECT_EQ(refusal("tcp:host:"), "9: a number is missing");
    EXPECT_EQ(refusal("tcp:host:http"), "9: a decimal number is expected here");
    EXPECT_EQ(refusal("tcp:host:65536"), "9: the number is out of range");
    EXPECT_EQ(refusal("tcp::80"), "4: a host is missing; a server on every interface is 0.0.0.0 or [::]");
    EXPECT_EQ(refusal("tcp:::1:80"), "4: an IPv6 address stands in brackets, as in [::1]:80");
    EXPECT_EQ(refusal("tcp:[::1:80"), "11: the closing bracket of the IPv6 address is missing");
    EXPECT_EQ(refusal("tcp:[::1]80"), "9: a colon and a port are missing after the host");
    EXPECT_EQ(refusal("tcp:[nonsense]:80"), "5: what stands in brackets is not an IPv6 address");
    EXPECT_EQ(refusal("tcp:[::1%2580%25]:1"), "5: what stands in brackets is not an IPv6 address");
    EXPECT_EQ(refusal("tcp:a%20b:80"), "4: a host is made of letters, digits, '-', '_' and '.'");
}

TEST(addresses, unknown_and_repeated_keys_are_refused) {
    EXPECT_EQ(refusal("fifo:/x?type=stream"), "8: this address takes no keys; a '?' in a name is written %3F");
    EXPECT_EQ(refusal("sysv-mq:0x1?proj=1"), "12: this address takes no keys; a '?' in a name is written %3F");
    EXPECT_EQ(refusal("unix:/x?mode=1"), "8: unknown key; known is type");
    EXPECT_EQ(refusal("sysv-mq:/x?project=1"), "11: unknown key; known is proj");
    EXPECT_EQ(refusal("unix:/x?type=dgram&type=dgram"), "19: the key is given twice");
    EXPECT_EQ(refusal("sysv-mq:/x?proj=1&proj=2"), "18: the key is given twice");
    EXPECT_EQ(refusal("unix:/x?"), "8: a key=value is missing");
    EXPECT_EQ(refusal("unix:/x?type=dgram&"), "19: a key=value is missing");
    EXPECT_EQ(refusal("unix:/x?type"), "8: the key has no value");
    EXPECT_EQ(refusal("unix:/x?%74ype=dgram"), "8: unknown key; known is type");
}

TEST(addresses, addresses_of_found_objects_are_checked_like_texts) {
    EXPECT_EQ(address::of_fd(3, 12)->text(), "fd:12/3");
    EXPECT_EQ(address::of_fifo("/a b")->text(), "fifo:/a%20b");
    EXPECT_EQ(address::of_sysv_key(scheme::sysv_shm, -1)->text(), "sysv-shm:0xffffffff");
    EXPECT_EQ(address::of_sysv_path(scheme::sysv_sem, "/p", 65)->text(), "sysv-sem:/p?proj=65");
    EXPECT_EQ(address::of_sysv_id(scheme::sysv_mq, 0)->text(), "sysv-mq:id=0");
    EXPECT_EQ(address::of_sysv_private(scheme::sysv_mq)->text(), "sysv-mq:private");
    EXPECT_EQ(address::of_posix(scheme::posix_sem, "/s")->text(), "posix-sem:/s");
    EXPECT_EQ(address::of_unix_path("@x")->text(), "unix:%40x");
    EXPECT_EQ(address::of_unix_abstract("x", address::socket_type::seqpacket)->text(), "unix:@x?type=seqpacket");
    EXPECT_EQ(address::of_inet(scheme::tcp, "::1", 80)->text(), "tcp:[::1]:80");
    EXPECT_EQ(address::of_pid(7)->text(), "pid:7");

    EXPECT_FALSE(address::of_fd(-1));
    EXPECT_FALSE(address::of_fifo(""));
    EXPECT_FALSE(address::of_sysv_key(scheme::sysv_mq, 0));
    EXPECT_FALSE(address::of_sysv_key(scheme::posix_mq, 1));
    EXPECT_FALSE(address::of_sysv_path(scheme::sysv_mq, "relative", 1));
    EXPECT_FALSE(address::of_sysv_path(scheme::sysv_mq, "/p", 256));
    EXPECT_FALSE(address::of_posix(scheme::posix_mq, "noslash"));
    EXPECT_FALSE(address::of_posix(scheme::tcp, "/x"));
    EXPECT_FALSE(address::of_unix_path(std::string_view{"a\0b", 3}));
    EXPECT_FALSE(address::of_inet(scheme::unix_socket, "h", 1));
    EXPECT_FALSE(address::of_inet(scheme::tcp, "not:v6", 1));
    EXPECT_FALSE(address::of_pid(0));
}

TEST(addresses, the_fault_is_optional_and_scheme_names_are_complete) {
    EXPECT_FALSE(address::parse("nonsense"));
    for (std::size_t i = 0; i < kith::scheme_count; ++i) EXPECT_NE(name_of(static_cast<scheme>(i)), "unknown");
}

// Texts near the grammar: pieces that matter to it, with arbitrary bytes between them.
rc::Gen<std::string> texts() {
    static const std::vector<std::string> pieces{
        "fd:",  "fifo:",  "sysv-mq:", "posix-mq:", "sysv-sem:", "posix-shm:", "unix:", "unix:@", "tcp:",  "udp:",
        "pid:", "topic:", "/",        "?",         "&",         "=",          "type=", "proj=",  "dgram", "seqpacket",
        "65",   "id=",    "private",  "0x4b01",    "%41",       "%00",        "%",     "@",      "[",     "]",
        "::1",  ":80",    "host",     "\xc3\xa4",  "\xff",      " ",          "."};
    const auto piece =
        rc::gen::oneOf(rc::gen::elementOf(pieces), rc::gen::container<std::string>(rc::gen::arbitrary<char>()));
    return rc::gen::map(rc::gen::container<std::vector<std::string>>(piece), [](const std::vector<std::string>& all) {
        std::string text;
        for (const auto& one : all) text += one;
        return text;
    });
}

RC_GTEST_PROP(addresses, printing_and_parsing_again_gives_the_same_value, ()) {
    const auto text = *texts();
    const auto parsed = address::parse(text);
    if (!parsed) return;
    const auto printed = parsed->text();
    const auto again = address::parse(printed);
    RC_ASSERT(again.has_value());
    RC_ASSERT(*again == *parsed);
    RC_ASSERT(again->text() == printed);
}

RC_GTEST_PROP(addresses, every_path_has_an_address_that_reads_back, (const std::string& path)) {
    const bool possible = !path.empty() && path.find('\0') == std::string::npos;
    const auto made = address::of_fifo(path);
    RC_ASSERT(made.has_value() == possible);
    if (made) RC_ASSERT(address::parse(made->text())->name() == path);
    const auto socket = address::of_unix_path(path, address::socket_type::datagram);
    RC_ASSERT(socket.has_value() == possible);
    if (socket) RC_ASSERT(*address::parse(socket->text()) == *socket);
}

RC_GTEST_PROP(addresses, every_abstract_name_has_an_address_that_reads_back, (const std::string& name)) {
    const auto made = address::of_unix_abstract(name);
    RC_ASSERT(made.has_value() == !name.empty());
    if (made) RC_ASSERT(address::parse(made->text())->name() == name);
}

RC_GTEST_PROP(addresses, every_key_has_an_address_that_reads_back, (std::int32_t key)) {
    const auto made = address::of_sysv_key(scheme::sysv_mq, key);
    RC_ASSERT(made.has_value() == (key != 0));
    if (made) RC_ASSERT(address::parse(made->text())->key() == key);
}

}  // namespace
