#include "tour/digest.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <array>
#include <new>

namespace kith_cli::tour {

void sha256::free_context::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

sha256::sha256() : context_{EVP_MD_CTX_new()} {
    // Fails for lack of memory only.
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) throw std::bad_alloc{};
}

void sha256::add(kith::byte_view piece) { EVP_DigestUpdate(context_.get(), piece.data(), piece.size()); }

std::string sha256::hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest.at(i));
    return text;
}

}  // namespace kith_cli::tour
