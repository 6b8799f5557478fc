#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>
#include <algorithm>
#include <ranges>

#include "messages.hpp"
#include "options.hpp"
#include "tour/remains.hpp"
#include "tour/table.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

constexpr std::int64_t default_deadline_ns = 60'000'000'000;
constexpr std::uint64_t all_increments = 1'000'000;
constexpr std::uint64_t few_increments = 20'000;

struct tour_options {
    std::string file;
    std::optional<std::string> only;  ///< names with commas between
    bool once = false;
    std::optional<std::int64_t> deadline_ns;
};

// One line on a terminal, written over and over.
class progress_line {
public:
    explicit progress_line(bool wanted) : on_{wanted && ::isatty(2) == 1} {}
    ~progress_line() { clear(); }
    progress_line(const progress_line&) = delete;
    progress_line& operator=(const progress_line&) = delete;

    void show(std::string_view text) {
        if (!on_) return;
        say(fmt::format("\r{:<{}}\r{}", "", width_, text));
        width_ = text.size();
    }
    void clear() {
        if (on_ && width_ != 0) say(fmt::format("\r{:<{}}\r", "", width_));
        width_ = 0;
    }

private:
    static void say(const std::string& text) {
        [[maybe_unused]] const auto ignored = ::write(2, text.data(), text.size());
    }
    bool on_;
    std::size_t width_ = 0;
};

// For names that nobody can guess or has already.
std::string run_name() {
    std::uint64_t random = 0;
    if (::getrandom(&random, sizeof random, 0) != sizeof random)
        random = static_cast<std::uint64_t>(kith::deadline::clock::now().time_since_epoch().count());
    return fmt::format("{}{}-{:x}", tour::run_prefix, ::getpid(), random);
}

/// An empty text is one empty name, as between two commas.
std::vector<std::string> names_in(const std::optional<std::string>& list) {
    std::vector<std::string> names;
    if (list && list->empty()) names.emplace_back();
    if (list)
        for (const auto part : std::views::split(*list, ',')) names.emplace_back(part.begin(), part.end());
    return names;
}

int run_tour(session& s, const tour_options& given) {
    std::vector<const tour::row*> chosen;
    for (const auto& name : names_in(given.only)) {
        const auto* found = tour::find_row(name);
        if (found == nullptr) {
            std::string known;
            for (const auto& one : tour::all_rows()) known += fmt::format("{}{}", known.empty() ? "" : ",", one.name);
            return s.misuse(fmt::format("the tour has no row {}", kith_cli::quoted(name)), "kith tour --only " + known);
        }
        chosen.push_back(found);
    }
    if (chosen.empty())
        for (const auto& one : tour::all_rows()) chosen.push_back(&one);

    s.catch_signals();
    const auto in = tour::make_input(given.file, given.once);
    if (!in) return s.fail("read", given.file, in.error());
    for (const auto& run : tour::clear_remains()) s.announce("removed what a killed tour left: " + run);
    const auto name = run_name();
    const auto directory = tour::private_directory::make(name);
    if (!directory) return s.fail("make a directory for the tour", "", directory.error());

    progress_line line{!s.quiet};
    const tour::run_options options{
        .deadline = std::chrono::nanoseconds{given.deadline_ns.value_or(default_deadline_ns)},
        .increments = given.once ? few_increments : all_increments,
        .name = name,
        .directory = directory->path(),
        .stop = s.stop(),
        .progress = [&](const tour::row& what, std::uint64_t bytes) {
            line.show(fmt::format("{}: {} of {}", what.name, tour::megabytes(bytes), tour::megabytes(in->size())));
        }};
    std::vector<tour::row_result> results;
    for (const auto* one : chosen) {
        line.show(fmt::format("{}: starting", one->name));
        auto result = tour::run_row(*one, *in, options);
        if (!result) {
            line.clear();
            return s.fail("finish the tour", "", result.error());
        }
        results.push_back(std::move(*result));
    }
    line.clear();
    if (!s.write(s.json ? tour::results_json(*in, results) : tour::results_table(*in, results))) return exit_failed;
    return std::ranges::all_of(results, &tour::row_result::ok) ? exit_done : exit_failed;
}

}  // namespace

void add_tour(CLI::App& app, session& s) {
    const auto given = std::make_shared<tour_options>();
    auto& verb = add_verb(app, s, "tour", "move real data through every mechanism, between two processes each",
                          [&s, given] { return run_tour(s, *given); });
    verb.add_option("FILE", given->file, "what to move; without it this program and a listing of /usr/include")
        ->type_name("");
    verb.add_option("--only", given->only, "only these rows, separated by commas")->type_name("ROWS");
    verb.add_flag("--once", given->once, "move the input once, do not repeat it to 64 MiB; count to 20000 only");
    add_duration(verb, "--timeout", given->deadline_ns, "how long one row may take; 60s if left out");
}

}  // namespace kith_cli
