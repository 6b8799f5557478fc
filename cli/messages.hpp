// messages - every text about a failure that the user gets to see, made in one place.
//
//     kith: cannot send 65536 bytes to 'posix-mq:/jobs': longer than the queue's message limit
//       limit  mq_msgsize is 8192; it is fixed when the queue is created
//       try    kith create --message-size 64K posix-mq:/jobs-large
//       more   too_long (EMSGSIZE); kith-send(1)
//
// One lower-case sentence that stands alone, user text in quotes, numbers with units, details indented below.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <kith/address.hpp>

#include "failure.hpp"

namespace kith_cli {

/// What was being done when it failed.
struct attempt {
    std::string_view verb;    ///< "send", "sem op": names the man page
    std::string_view action;  ///< "send 65536 bytes to"
    std::string_view object;  ///< the address or file as the user wrote it; may be empty
};

/// The text for stderr, with its final newline.
[[nodiscard]] std::string failure_text(const attempt& what, const failure& why);
/// The same as one JSON object on one line: code, errno, errno_name, operation, object, message, hint.
[[nodiscard]] std::string failure_json(const attempt& what, const failure& why);

/// A wrong command line.
[[nodiscard]] std::string misuse_text(std::string_view sentence, std::string_view hint);
[[nodiscard]] std::string misuse_json(std::string_view sentence, std::string_view hint);

/// What is wrong with an address, pointing at the place.
[[nodiscard]] failure bad_address(std::string_view text, const kith::error& error, const kith::address_fault& fault);

/// "64 KiB" for whole multiples, else "100 bytes".
[[nodiscard]] std::string size_text(std::uint64_t bytes);
/// `text` in single quotes, with what does not print escaped as %XX.
[[nodiscard]] std::string quoted(std::string_view text);

/// The limits that an operation with this outcome has met, with their values now and how to raise them: System V
/// counts and sizes, queues and their bytes per user, descriptors, /dev/shm, pipe and socket buffers. Found by the
/// system call in error::operation() ("msgget", "mq_open", "shmget" ...), the code and the errno.
struct limit_report {
    std::vector<std::string> limits;
    std::vector<std::string> tries;
};
[[nodiscard]] limit_report explain_limits(const kith::error& error);

}  // namespace kith_cli
