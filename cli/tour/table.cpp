#include "tour/table.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>

namespace kith_cli::tour {
namespace {

double rate_of(const row_result& one) {
    return one.seconds > 0 ? static_cast<double>(one.bytes) / 1e6 / one.seconds : 0;
}

std::string_view text_of(relation between) { return between == relation::kin ? "kin" : "strangers"; }

}  // namespace

std::string megabytes(std::uint64_t bytes) {
    if (bytes < 100'000) return fmt::format("{} bytes", bytes);
    return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

std::string results_table(const input& in, const std::vector<row_result>& results) {
    auto text = fmt::format("{} from {}", megabytes(in.size()), in.source);
    if (in.repeats > 1) text += fmt::format(", {} times {}", in.repeats, megabytes(in.block_size));
    text += fmt::format("\nSHA-256 {}\n\n", in.sha256);
    constexpr auto line = "{:<15}{:<11}{:<10}{:<10}{:>10}{:>10}{:>9}{:>9}  {:<4}{}\n";
    text += fmt::format(line, "mechanism", "between", "data", "outlives", "MB", "messages", "seconds", "MB/s", "ok",
                        "what it is for");
    for (const auto& one : results) {
        const auto& what = *one.what;
        auto remark = std::string{what.purpose};
        if (one.lost != 0) remark += fmt::format(" ({} lost)", one.lost);
        if (what.counts && one.ok) remark += fmt::format(": {} steps, none lost", one.messages);
        if (!one.ok) remark = one.why;
        const bool moved = !what.counts && one.ok;
        text +=
            fmt::format(line, what.name, text_of(what.between), what.data, what.outlives,
                        moved ? fmt::format("{:.1f}", static_cast<double>(one.bytes) / 1e6) : "-",
                        one.ok ? std::to_string(one.messages) : "-", one.ok ? fmt::format("{:.3f}", one.seconds) : "-",
                        moved ? fmt::format("{:.0f}", rate_of(one)) : "-", one.ok ? "ok" : "NO", remark);
    }
    return text;
}

std::string results_json(const input& in, const std::vector<row_result>& results) {
    using json = nlohmann::ordered_json;
    json rows = json::array();
    for (const auto& one : results) {
        const auto& what = *one.what;
        json row{{"mechanism", what.name},
                 {"purpose", what.purpose},
                 {"between", text_of(what.between)},
                 {"data", what.data},
                 {"outlives", what.outlives},
                 {"bytes", one.bytes},
                 {"messages", one.messages},
                 {"resent", one.lost},
                 {"seconds", one.seconds},
                 {"megabytes_per_second", what.counts ? json(nullptr) : json(rate_of(one))},
                 {"sha256", one.sha256.empty() ? json(nullptr) : json(one.sha256)},
                 {"ok", one.ok}};
        if (!one.ok) row["why"] = one.why;
        rows.push_back(std::move(row));
    }
    const json all{{"input",
                    {{"source", in.source},
                     {"bytes", in.size()},
                     {"block_bytes", in.block_size},
                     {"repeats", in.repeats},
                     {"sha256", in.sha256}}},
                   {"rows", std::move(rows)},
                   {"ok", std::ranges::all_of(results, &row_result::ok)}};
    return all.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace kith_cli::tour
