// closing - close() in another thread, at the moment that is hardest to hit.
#pragma once
#include <kith/io_fd.hpp>
#include <kith/observer.hpp>

#include <thread>

namespace kith_test {

/// Closes an object from another thread while a call in this one is between two short waits: when it says that it
/// begins to poll. Make it after the object.
class closes_while_polling {
public:
    explicit closes_while_polling(kith::io_fd& object) : object_{object} {
        kith::set_observer(
            [](const kith::event& what, void* self) noexcept {
                if (what.kind == kith::event_kind::polling) static_cast<closes_while_polling*>(self)->close();
            },
            this);
    }
    closes_while_polling(const closes_while_polling&) = delete;
    closes_while_polling& operator=(const closes_while_polling&) = delete;
    ~closes_while_polling() { kith::set_observer(nullptr); }

private:
    // Returns when the descriptor has been taken away; close() itself then waits for the call to end.
    void close() {
        if (!object_.is_open()) return;
        closer_ = std::jthread{[this] { object_.close(); }};
        while (object_.is_open()) std::this_thread::yield();
    }
    kith::io_fd& object_;
    std::jthread closer_;
};

}  // namespace kith_test
