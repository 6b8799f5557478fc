// pipe_write - writing to a pipe or FIFO: what every class that can shares.
#pragma once
#include <kith/bytes.hpp>
#include <kith/io_fd.hpp>

namespace kith::inline KITH_ABI::detail {

/// byte_writer::write_some of kith/sys/byte_stream.hpp.
[[nodiscard]] result<std::size_t> write_some_to(const io_fd& pipe, byte_view bytes, const wait_policy& wait) noexcept;

}  // namespace kith::inline KITH_ABI::detail
