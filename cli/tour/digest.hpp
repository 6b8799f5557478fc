// digest - SHA-256 of bytes that come in pieces.
#pragma once
#include <memory>
#include <string>

#include <kith/bytes.hpp>

struct evp_md_ctx_st;

namespace kith_cli::tour {

class sha256 {
public:
    sha256();
    void add(kith::byte_view piece);
    /// The digest of all that was added, as 64 hexadecimal digits; nothing may be added after.
    [[nodiscard]] std::string hex();

private:
    struct free_context {
        void operator()(evp_md_ctx_st* context) const;
    };
    std::unique_ptr<evp_md_ctx_st, free_context> context_;
};

}  // namespace kith_cli::tour
