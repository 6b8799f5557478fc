#include <kith/version.hpp>

namespace kith::inline KITH_ABI {
version_number library_version() noexcept { return header_version; }
}  // namespace kith::inline KITH_ABI
