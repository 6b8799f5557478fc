#include <fmt/format.h>

#include "backends/backend.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

struct arguments {
    std::string where;
    bool replies = false;
};

int run_rm(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    auto& mechanism = backend_for(where->mechanism());
    if (how.replies && where->mechanism() != kith::scheme::sysv_mq)
        return s.fail("remove", how.where,
                      option_refused(mechanism, "--replies", "only System V queues have one for replies").error());
    auto replies = mechanism.reply_queue_of(*where);  // while the queue that names it is there
    const auto gone = mechanism.remove(*where);
    // One of the two may be gone already.
    if (!gone && !(how.replies && replies && gone.error().cause.code() == kith::errc::not_found))
        return s.fail("remove", how.where, gone.error());
    if (how.replies && replies) {
        if (const auto also = mechanism.remove(*replies); !also) return s.fail("remove", replies->text(), also.error());
        replies.reset();
    }
    if (s.json) {
        facts told;
        told.add("address", where->text()).add("removed", true);
        told.add("reply_queue", replies ? facts::value{replies->text()} : facts::value{nullptr});
        return s.print(told);
    }
    if (replies)
        s.announce(fmt::format("the queue for the replies of a kith serve there is left: kith rm {}", replies->text()));
    return exit_done;
}

}  // namespace

void add_rm(CLI::App& app, session& s) {
    const auto how = std::make_shared<arguments>();
    auto& verb = add_verb(app, s, "rm", "remove an object, or its name", [&s, how] { return run_rm(s, *how); });
    add_address(verb, how->where);
    verb.add_flag("--replies", how->replies,
                  "remove the queue for the replies of kith serve as well (System V queues)");
}

}  // namespace kith_cli
