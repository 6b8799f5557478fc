// stay - a thread that is counted as a waiter of an io_fd.
#pragma once
#include <kith/io_fd.hpp>

namespace kith::inline KITH_ABI::detail {

/// One thread's stay in the object: counted from before its last look at the descriptor until it has left. While it
/// lives, a descriptor that native() has returned is not closed by close(), which waits for it to go.
class stay {
public:
    explicit stay(const io_fd& object) noexcept;
    ~stay();
    stay(const stay&) = delete;
    stay& operator=(const stay&) = delete;

    /// io_fd::wait_for for who is counted already; `stopped` also where the object was closed before.
    [[nodiscard]] result<short> wait_for(short events, const wait_policy& wait, const char* operation) const noexcept;

    /// io_fd::wait_for in an object that no other thread has yet: nobody can close it meanwhile, so it needs no bell.
    [[nodiscard]] static result<short> wait_alone(const io_fd& object, short events, const wait_policy& wait,
                                                  const char* operation) noexcept;

private:
    friend io_fd;
    static result<short> look(const io_fd& object, short events, const wait_policy& wait, const char* operation,
                              bool counted) noexcept;
    void make_bell() noexcept;
    const io_fd& object_;
};

}  // namespace kith::inline KITH_ABI::detail
