// shared_memory - a zeroed object that forked children share.
#pragma once
#include <sys/mman.h>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <span>

namespace kith_test {

template <class T>
class shared {
public:
    shared() {
        void* memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) std::abort();
        object_ = new (memory) T{};
    }
    ~shared() { ::munmap(object_, sizeof(T)); }
    shared(const shared&) = delete;
    shared& operator=(const shared&) = delete;
    T& operator*() const { return *object_; }
    T* operator->() const { return object_; }
    [[nodiscard]] std::span<std::byte> bytes() const { return std::as_writable_bytes(std::span<T>{object_, 1}); }

private:
    T* object_;
};

}  // namespace kith_test
