#include "backends/sysv_objects.hpp"

namespace kith_cli {

using kith::sys::sysv_key;
using naming = kith::address::sysv_naming;

outcome<sysv_key> key_to_make(const kith::address& where) {
    switch (where.naming()) {
    case naming::key: return sysv_key{where.key()};
    case naming::private_object: return sysv_key::private_object();
    case naming::path: {
        const auto key = sysv_key::from_path(where.name(), where.project());
        if (!key) return pass_on(key);
        return *key;
    }
    case naming::id: break;
    }
    return refuse_use(kith::errc::invalid, "address", "the kernel chooses ids: name it by key, by path or as private");
}

outcome<sysv_key> key_to_find(const kith::address& where) {
    if (where.naming() != naming::private_object) return key_to_make(where);
    auto why = refuse_use(kith::errc::invalid, "address", "'private' names none that exists, only one to be made");
    why.error().tries.push_back(fmt::format("kith create {}   makes one and prints its id", where.text()));
    return why;
}

}  // namespace kith_cli
