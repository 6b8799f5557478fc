#include <kith/address.hpp>

#include <array>

#include "addresses/grammar.hpp"

namespace kith::inline KITH_ABI {
namespace {

namespace grammar = detail::grammar;

struct scheme_entry {
    scheme mechanism;
    std::string_view name;
};
constexpr std::array<scheme_entry, scheme_count> schemes{{
    {scheme::fd, "fd"},
    {scheme::fifo, "fifo"},
    {scheme::sysv_mq, "sysv-mq"},
    {scheme::posix_mq, "posix-mq"},
    {scheme::sysv_sem, "sysv-sem"},
    {scheme::posix_sem, "posix-sem"},
    {scheme::sysv_shm, "sysv-shm"},
    {scheme::posix_shm, "posix-shm"},
    {scheme::unix_socket, "unix"},
    {scheme::tcp, "tcp"},
    {scheme::udp, "udp"},
    {scheme::pid, "pid"},
}};

constexpr std::array<std::string_view, 4> reserved_schemes{"topic", "tls", "ring", "inproc"};

constexpr bool is_sysv(scheme mechanism) noexcept {
    return mechanism == scheme::sysv_mq || mechanism == scheme::sysv_sem || mechanism == scheme::sysv_shm;
}
constexpr bool is_posix(scheme mechanism) noexcept {
    return mechanism == scheme::posix_mq || mechanism == scheme::posix_sem || mechanism == scheme::posix_shm;
}

std::unexpected<error> refuse(std::string_view what) noexcept {
    return fail(errc::bad_address, "address", 0, object_ref::name(what));
}

}  // namespace

std::string_view name_of(scheme mechanism) noexcept {
    const auto index = static_cast<std::size_t>(mechanism);
    return index < schemes.size() ? schemes[index].name : "unknown";
}

// Reads one text, from left to right. Every reading function returns nullptr, or the reason after having set `at`.
class address::reader {
public:
    using reason = const char*;

    explicit reader(std::string_view text) noexcept : text_{text} {}

    result<address> read(address_fault& fault) {
        const auto colon = text_.find(':');
        if (colon == std::string_view::npos) {
            fault = {text_.size(), "an address begins with a scheme and a colon, as in fifo:/run/x"};
            return refuse(text_);
        }
        const auto name = text_.substr(0, colon);
        for (const auto& known : reserved_schemes)
            if (name == known) {
                fault = {0, "this scheme is reserved for a later version of kith"};
                return fail(errc::unsupported, "address", 0, object_ref::name(text_));
            }
        for (const auto& known : schemes)
            if (name == known.name) return read_as(known.mechanism, colon + 1, fault);
        fault = {0,
                 "unknown scheme; known are fd, fifo, sysv-mq, posix-mq, sysv-sem, posix-sem, sysv-shm, posix-shm, "
                 "unix, tcp, udp and pid"};
        return refuse(text_);
    }

    /// Whether an address that was put together has only parts that the grammar can express.
    static bool expressible(const address& made) {
        const auto printed = made.text();
        const auto again = address::parse(printed);
        return again && *again == made;
    }
    static result<address> checked(address made) {
        if (!expressible(made)) return refuse(made.name_);
        return made;
    }

    static result<address> fd(int fd, std::int32_t pid) {
        address made{scheme::fd};
        made.number_ = fd;
        made.process_ = pid;
        return checked(std::move(made));
    }
    static result<address> named(scheme mechanism, std::string_view name, std::int32_t number = 0) {
        address made{mechanism};
        made.name_ = name;
        made.number_ = number;
        return checked(std::move(made));
    }
    static result<address> sysv(scheme mechanism, address::sysv_naming naming, std::string_view path, int number) {
        if (!is_sysv(mechanism)) return refuse(path);
        address made{mechanism};
        made.naming_ = naming;
        made.name_ = path;
        made.number_ = number;
        return checked(std::move(made));
    }
    static result<address> socket(std::string_view name, bool abstract, socket_type type) {
        address made{scheme::unix_socket};
        made.name_ = name;
        made.abstract_ = abstract;
        made.type_ = type;
        return checked(std::move(made));
    }
    static result<address> process(std::int32_t pid) {
        address made{scheme::pid};
        made.process_ = pid;
        return checked(std::move(made));
    }

private:
    result<address> read_as(scheme mechanism, std::size_t begin, address_fault& fault) {
        address read{mechanism};
        const auto question = text_.find('?', begin);
        const bool has_query = question != std::string_view::npos;
        body_ = text_.substr(begin, has_query ? question - begin : std::string_view::npos);
        body_at_ = begin;
        if (reason why = read_body(read)) return refused(fault, why);
        if (has_query) {
            if (reason why = read_query(read, question + 1)) return refused(fault, why);
        }
        if (is_sysv(mechanism) && read.naming_ == address::sysv_naming::path && read.number_ == 0) {
            at_ = text_.size();
            return refused(fault, "a path needs a project number from 1 to 255, as in ?proj=65");
        }
        return read;
    }

    std::unexpected<error> refused(address_fault& fault, reason why) const noexcept {
        fault = {at_, why};
        return refuse(text_);
    }

    reason read_body(address& read) {
        switch (read.mechanism_) {
        case scheme::fd: return read_fd(read);
        case scheme::fifo: return read_path(read, body_, body_at_);
        case scheme::sysv_mq:
        case scheme::sysv_sem:
        case scheme::sysv_shm: return read_sysv(read);
        case scheme::posix_mq:
        case scheme::posix_sem:
        case scheme::posix_shm: return read_posix(read);
        case scheme::unix_socket: return read_unix(read);
        case scheme::tcp:
        case scheme::udp: return read_inet(read);
        case scheme::pid: return read_number(body_, body_at_, 1, grammar::largest_int, read.process_);
        }
        return "unknown scheme";
    }

    reason read_fd(address& read) {
        const auto slash = body_.find('/');
        if (slash == std::string_view::npos) return read_number(body_, body_at_, 0, grammar::largest_int, read.number_);
        if (reason why = read_number(body_.substr(0, slash), body_at_, 1, grammar::largest_int, read.process_))
            return why;
        return read_number(body_.substr(slash + 1), body_at_ + slash + 1, 0, grammar::largest_int, read.number_);
    }

    reason read_sysv(address& read) {
        if (body_ == "private") {
            read.naming_ = address::sysv_naming::private_object;
            return nullptr;
        }
        if (body_.starts_with("id=")) {
            read.naming_ = address::sysv_naming::id;
            return read_number(body_.substr(3), body_at_ + 3, 0, grammar::largest_int, read.number_);
        }
        if (body_.starts_with('/') || body_.starts_with('.')) {
            read.naming_ = address::sysv_naming::path;
            return read_path(read, body_, body_at_);
        }
        std::uint64_t key = 0;
        at_ = body_at_;
        switch (grammar::read_key(body_, key)) {
        case grammar::number_state::good: break;
        case grammar::number_state::out_of_range: return "a key has 32 bits: it is at most 0xffffffff";
        case grammar::number_state::malformed:
            return "a System V object is named by a key (0x4b01), a path (/path?proj=65), an id (id=32768) or private";
        }
        if (key == 0) return "key 0 is IPC_PRIVATE; write private instead";
        read.number_ = static_cast<std::int32_t>(static_cast<std::uint32_t>(key));
        return nullptr;
    }

    reason read_posix(address& read) {
        if (reason why = read_escaped(body_, body_at_, read.name_)) return why;
        at_ = body_at_;
        if (!read.name_.starts_with('/')) return "the name begins with a slash, as in /jobs";
        if (read.name_.size() == 1) {
            at_ = body_at_ + body_.size();
            return "a name is missing after the slash";
        }
        if (read.name_.find('/', 1) != std::string::npos)
            return "the name has one slash, at its beginning, and no other";
        if (read.name_.find('\0') != std::string::npos) return "a name cannot hold a NUL byte";
        return nullptr;
    }

    reason read_unix(address& read) {
        if (!body_.starts_with('@')) return read_path(read, body_, body_at_);
        read.abstract_ = true;
        if (body_.size() == 1) {
            at_ = body_at_ + 1;
            return "a name is missing after the @";
        }
        return read_escaped(body_.substr(1), body_at_ + 1, read.name_);
    }

    reason read_path(address& read, std::string_view raw, std::size_t where) {
        if (raw.empty()) {
            at_ = where;
            return "a path is missing";
        }
        if (reason why = read_escaped(raw, where, read.name_)) return why;
        at_ = where;
        return read.name_.find('\0') == std::string::npos ? nullptr : "a path cannot hold a NUL byte";
    }

    reason read_inet(address& read) {
        std::string_view raw_host;
        std::size_t host_at = body_at_;
        std::size_t colon = 0;
        const bool bracketed = body_.starts_with('[');
        if (bracketed) {
            const auto close = body_.find(']');
            if (close == std::string_view::npos) {
                at_ = text_.size();
                return "the closing bracket of the IPv6 address is missing";
            }
            raw_host = body_.substr(1, close - 1);
            host_at = body_at_ + 1;
            colon = close + 1;
            at_ = body_at_ + colon;
            if (colon >= body_.size() || body_[colon] != ':') return "a colon and a port are missing after the host";
        } else {
            colon = body_.find(':');
            at_ = body_at_ + body_.size();
            if (colon == std::string_view::npos) return "a colon and a port are missing after the host";
            at_ = body_at_;
            if (body_.find(':', colon + 1) != std::string_view::npos)
                return "an IPv6 address stands in brackets, as in [::1]:80";
            raw_host = body_.substr(0, colon);
        }
        if (reason why = read_escaped(raw_host, host_at, read.name_)) return why;
        at_ = host_at;
        if (bracketed && !grammar::is_ipv6(read.name_)) return "what stands in brackets is not an IPv6 address";
        if (read.name_.empty()) return "a host is missing; a server on every interface is 0.0.0.0 or [::]";
        if (!bracketed && !grammar::is_host_name(read.name_))
            return "a host is made of letters, digits, '-', '_' and '.'";
        return read_number(body_.substr(colon + 1), body_at_ + colon + 1, 0, 65535, read.number_);
    }

    reason read_query(address& read, std::size_t begin) {
        const bool takes_type = read.mechanism_ == scheme::unix_socket;
        const bool takes_project = is_sysv(read.mechanism_) && read.naming_ == address::sysv_naming::path;
        bool seen = false;
        for (std::size_t pos = begin; pos <= text_.size();) {
            const auto end = std::min(text_.find('&', pos), text_.size());
            const auto pair = text_.substr(pos, end - pos);
            const auto equals = pair.find('=');
            at_ = pos;
            if (pair.empty()) return "a key=value is missing";
            const auto key = pair.substr(0, equals);
            if (!takes_type && !takes_project) return "this address takes no keys; a '?' in a name is written %3F";
            if (takes_type && key != "type") return "unknown key; known is type";
            if (takes_project && key != "proj") return "unknown key; known is proj";
            if (seen) return "the key is given twice";
            if (equals == std::string_view::npos) return "the key has no value";
            seen = true;
            std::string value;
            const auto value_at = pos + equals + 1;
            if (reason why = read_escaped(pair.substr(equals + 1), value_at, value)) return why;
            at_ = value_at;
            if (takes_type && !grammar::read_type(value, read.type_)) return "a type is stream, dgram or seqpacket";
            if (takes_project && grammar::read_decimal(value, 1, 255, read.number_) != grammar::number_state::good)
                return "a project is a number from 1 to 255";
            pos = end + 1;
        }
        return nullptr;
    }

    reason read_number(std::string_view digits, std::size_t where, std::int64_t least, std::int64_t most,
                       std::int32_t& number) {
        at_ = where;
        if (digits.empty()) return "a number is missing";
        switch (grammar::read_decimal(digits, least, most, number)) {
        case grammar::number_state::good: return nullptr;
        case grammar::number_state::malformed: return "a decimal number is expected here";
        case grammar::number_state::out_of_range: return "the number is out of range";
        }
        return nullptr;
    }

    reason read_escaped(std::string_view raw, std::size_t where, std::string& bytes) {
        const auto fault = grammar::unescape(raw, bytes);
        if (fault == grammar::no_fault) return nullptr;
        at_ = where + fault;
        return raw[fault] == '%' ? "two hexadecimal digits follow a %; a % itself is written %25"
                                 : "a NUL byte is written %00";
    }

    std::string_view text_;
    std::string_view body_;
    std::size_t body_at_ = 0;
    std::size_t at_ = 0;  // where the next refusal points to
};

result<address> address::parse(std::string_view text, address_fault* fault) {
    address_fault unasked;
    return reader{text}.read(fault != nullptr ? *fault : unasked);
}

result<address> address::of_fd(int fd, std::int32_t pid) { return reader::fd(fd, pid); }
result<address> address::of_fifo(std::string_view path) { return reader::named(scheme::fifo, path); }
result<address> address::of_sysv_key(scheme mechanism, std::int32_t key) {
    return reader::sysv(mechanism, sysv_naming::key, {}, key);
}
result<address> address::of_sysv_path(scheme mechanism, std::string_view path, int project) {
    return reader::sysv(mechanism, sysv_naming::path, path, project);
}
result<address> address::of_sysv_id(scheme mechanism, int id) {
    return reader::sysv(mechanism, sysv_naming::id, {}, id);
}
result<address> address::of_sysv_private(scheme mechanism) {
    return reader::sysv(mechanism, sysv_naming::private_object, {}, 0);
}
result<address> address::of_posix(scheme mechanism, std::string_view name) {
    if (!is_posix(mechanism)) return refuse(name);
    return reader::named(mechanism, name);
}
result<address> address::of_unix_path(std::string_view path, socket_type type) {
    return reader::socket(path, false, type);
}
result<address> address::of_unix_abstract(std::string_view name, socket_type type) {
    return reader::socket(name, true, type);
}
result<address> address::of_inet(scheme mechanism, std::string_view host, std::uint16_t port) {
    if (mechanism != scheme::tcp && mechanism != scheme::udp) return refuse(host);
    return reader::named(mechanism, host, port);
}
result<address> address::of_pid(std::int32_t pid) { return reader::process(pid); }

std::string address::text() const {
    std::string out{name_of(mechanism_)};
    out += ':';
    switch (mechanism_) {
    case scheme::fd:
        if (process_ != 0) out += std::to_string(process_) + '/';
        out += std::to_string(number_);
        break;
    case scheme::pid: out += std::to_string(process_); break;
    case scheme::sysv_mq:
    case scheme::sysv_sem:
    case scheme::sysv_shm:
        switch (naming_) {
        case sysv_naming::key: grammar::append_key(out, static_cast<std::uint32_t>(number_)); break;
        case sysv_naming::path:
            grammar::append_escaped(out, name_);
            out += "?proj=" + std::to_string(number_);
            break;
        case sysv_naming::id: out += "id=" + std::to_string(number_); break;
        case sysv_naming::private_object: out += "private"; break;
        }
        break;
    case scheme::unix_socket:
        if (abstract_) out += '@';
        // A path that begins with an @ must not read as an abstract name.
        if (!abstract_ && name_.starts_with('@')) {
            out += "%40";
            grammar::append_escaped(out, std::string_view{name_}.substr(1));
        } else {
            grammar::append_escaped(out, name_);
        }
        if (type_ != socket_type::stream) out += type_ == socket_type::datagram ? "?type=dgram" : "?type=seqpacket";
        break;
    case scheme::tcp:
    case scheme::udp: {
        const bool brackets = name_.find(':') != std::string::npos;
        if (brackets) out += '[';
        grammar::append_escaped(out, name_);
        if (brackets) out += ']';
        out += ':' + std::to_string(number_);
        break;
    }
    case scheme::fifo:
    case scheme::posix_mq:
    case scheme::posix_sem:
    case scheme::posix_shm: grammar::append_escaped(out, name_); break;
    }
    return out;
}

}  // namespace kith::inline KITH_ABI
