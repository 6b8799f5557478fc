// sem_lock - kith sem lock ADDR -- COMMAND: COMMAND runs while a semaphore is held (docs/formats/scoped_lock.md).
//
// Who holds it decides what a kill leaves behind.
//   System V   This process takes the semaphore with undo and then becomes COMMAND by exec, which keeps the undo. The
//              kernel gives it back when COMMAND's process ends, however it ends; nothing of kith is left to be killed,
//              signals reach COMMAND itself, and the exit status is COMMAND's own.
//   POSIX      There is no undo. kith takes the semaphore, starts a keeper and then COMMAND. The keeper is a process in
//              a session of its own that does nothing but give back: when kith says that COMMAND has ended, or, if kith
//              is killed, when it sees COMMAND end. COMMAND begins when the keeper knows of it, so that there is no
//              moment to kill kith in after which COMMAND runs and the semaphore is free. If the keeper is killed, kith
//              gives back itself. Only if both are killed is it lost, or kith between taking it and starting the
//              keeper.
#pragma once
#include "backends/semaphores.hpp"
#include "session.hpp"

namespace kith_cli {

/// Becomes session::command; what undo holds, it holds until COMMAND ends. Returns only if that failed, with the
/// exit status, having reported it.
[[nodiscard]] int become_command(session& s);

/// Runs session::command while one of the semaphore is held; returns the exit status.
[[nodiscard]] int run_holding(session& s, const std::string& text, const kith::sys::posix_sem& semaphore);

}  // namespace kith_cli
