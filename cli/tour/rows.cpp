#include <algorithm>
#include <vector>

#include "tour/row.hpp"

namespace kith_cli::tour {

std::span<const row> all_rows() {
    static const auto all = [] {
        std::vector<row> rows;
        for (const auto family : {pipe_rows(), queue_rows(), counter_rows(), memory_rows(), unix_rows(), inet_rows()})
            rows.insert(rows.end(), family.begin(), family.end());
        return rows;
    }();
    return all;
}

const row* find_row(std::string_view name) {
    const auto rows = all_rows();
    const auto found = std::ranges::find(rows, name, &row::name);
    return found == rows.end() ? nullptr : &*found;
}

}  // namespace kith_cli::tour
