#include "output.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <ctime>
#include <iterator>
#include <kith/sys/byte_stream.hpp>
#include <nlohmann/json.hpp>

namespace kith_cli {
namespace {

using json = nlohmann::ordered_json;

std::string dump(const json& object) { return object.dump(-1, ' ', false, json::error_handler_t::replace) + '\n'; }

std::string in_table(const facts::value& what) {
    struct printer {
        std::string operator()(std::nullptr_t) const { return "-"; }
        std::string operator()(bool yes) const { return yes ? "yes" : "no"; }
        std::string operator()(std::int64_t number) const { return std::to_string(number); }
        std::string operator()(std::uint64_t number) const { return std::to_string(number); }
        std::string operator()(const std::string& text) const { return text; }
        std::string operator()(const std::vector<std::int64_t>& numbers) const {
            return fmt::format("{}", fmt::join(numbers, " "));
        }
        std::string operator()(const std::vector<std::string>& texts) const {
            return fmt::format("{}", fmt::join(texts, " "));
        }
    };
    return std::visit(printer{}, what);
}

bool is_utf8(std::string_view text) {
    // The library's writer refuses exactly what is not UTF-8.
    try {
        (void)json(text).dump();
        return true;
    } catch (const json::type_error&) {
        return false;
    }
}

std::string base64(kith::byte_view body) {
    static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((body.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < body.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group = group << 8U | (i + j < body.size() ? std::to_integer<std::uint32_t>(body[i + j]) : 0U);
        for (std::size_t j = 0; j < 4; ++j) out += i + j <= body.size() ? digits[(group >> (18U - 6U * j)) & 63U] : '=';
    }
    return out;
}

void put_body(json& object, kith::byte_view body) {
    if (const auto text = kith::text_of(body); is_utf8(text))
        object["body"] = text;
    else
        object["body_base64"] = base64(body);
}

std::string message_json(const message& what) {
    json object;
    put_body(object, what.body);
    object["size"] = what.body.size();
    const auto put = [&](const char* key, const auto& value) {
        if (value) object[key] = *value;
    };
    put("type", what.type);
    put("priority", what.priority);
    put("pid", what.pid);
    put("uid", what.uid);
    put("from", what.from);
    object["truncated"] = what.truncated;
    put("full_size", what.full_size);
    return dump(object);
}

std::string mode_letters(unsigned mode) {
    std::string letters = "rwxrwxrwx";
    for (std::size_t bit = 0; bit < 9; ++bit)
        if ((mode >> (8 - bit) & 1U) == 0) letters[bit] = '-';
    return letters;
}

}  // namespace

facts& facts::add_mode(std::string key, unsigned mode) {
    return add(std::move(key), value{fmt::format("{:04o}", mode & 07777U)}, mode_letters(mode));
}

facts& facts::add_time(std::string key, std::int64_t seconds) {
    if (seconds == 0) return add(std::move(key), value{nullptr}, "never");
    const std::time_t when = seconds;
    std::tm utc{};
    ::gmtime_r(&when, &utc);
    char text[32];
    const auto size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return add(std::move(key), value{std::string{text, size}});
}

facts& facts::add_user(std::string key, unsigned uid) {
    const auto* user = ::getpwuid(uid);
    return add(std::move(key), value{static_cast<std::int64_t>(uid)}, user != nullptr ? user->pw_name : "");
}

facts& facts::add_group(std::string key, unsigned gid) {
    const auto* group = ::getgrgid(gid);
    return add(std::move(key), value{static_cast<std::int64_t>(gid)}, group != nullptr ? group->gr_name : "");
}

std::string facts_table(const facts& what) {
    std::size_t width = 0;
    for (const auto& fact : what.list()) width = std::max(width, fact.key.size());
    std::string out;
    for (const auto& fact : what.list()) {
        auto key = fact.key;
        std::ranges::replace(key, '_', ' ');
        const auto text = std::holds_alternative<std::nullptr_t>(fact.what) && !fact.note.empty()
                              ? fact.note
                              : in_table(fact.what) + (fact.note.empty() ? "" : "  (" + fact.note + ")");
        fmt::format_to(std::back_inserter(out), "{:<{}}  {}\n", key, width, text);
    }
    return out;
}

std::string facts_json(const facts& what) {
    json object = json::object();
    for (const auto& fact : what.list()) std::visit([&](const auto& value) { object[fact.key] = value; }, fact.what);
    return dump(object);
}

std::string message_text(const message& what, message_format format) {
    std::string body{kith::text_of(what.body)};
    switch (format) {
    case message_format::raw: return body;
    case message_format::lines: body += '\n'; return body;
    case message_format::hex: {
        std::string out;
        for (const auto byte : what.body)
            fmt::format_to(std::back_inserter(out), "{:02x}", std::to_integer<unsigned>(byte));
        return out + '\n';
    }
    case message_format::json: return message_json(what);
    }
    return body;
}

std::string body_json(kith::byte_view body) {
    json object;
    put_body(object, body);
    object["size"] = body.size();
    return dump(object);
}

outcome<void> write_stdout(kith::byte_view body, const kith::wait_policy& wait) {
    static const bool regular = [] {
        struct stat file{};
        return ::fstat(1, &file) == 0 && S_ISREG(file.st_mode);
    }();
    // A regular file never makes a writer wait, and its writes need not be cut into pieces that fit.
    while (regular && !body.empty()) {
        const auto n = ::write(1, body.data(), body.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            const int os_error = errno;
            const auto code = os_error == ENOSPC || os_error == EDQUOT ? kith::errc::no_space : kith::errc::io;
            return std::unexpected{failure{kith::error{code, "write", os_error, kith::object_ref::descriptor(1)}}};
        }
        body = body.subspan(static_cast<std::size_t>(n));
    }
    if (body.empty()) return {};
    static auto out = [] {
        auto copy = duplicate(kith::borrowed_fd{1});
        return copy ? kith::io_fd::adopt(std::move(*copy)) : kith::result<kith::io_fd>{kith::fail(copy.error())};
    }();
    if (!out) return pass_on(out);
    static kith::sys::byte_writer writer{std::move(*out)};
    std::size_t done = 0;
    if (auto all = writer.write_full(body, done, wait); !all) return pass_on(all);
    return {};
}

}  // namespace kith_cli
