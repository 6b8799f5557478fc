#include "complete.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <sstream>

#include <kith/address.hpp>

#include "help.hpp"
#include "schemes.hpp"
#include "seal_names.hpp"
#include "tour/row.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

struct candidate {
    std::string word;
    std::string meaning;
};
using candidates = std::vector<candidate>;

// So many at most: a shell that shows thousands of processes helps nobody.
constexpr std::size_t most_candidates = 2000;

bool one_of(std::string_view word, std::initializer_list<std::string_view> list) {
    return std::ranges::find(list, word) != list.end();
}

template <class Use>
void each_entry(const std::string& folder, Use use) {
    const std::unique_ptr<DIR, int (*)(DIR*)> open{::opendir(folder.c_str()), ::closedir};
    if (!open) return;
    while (const dirent* entry = ::readdir(open.get())) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") use(name);
    }
}

void add(candidates& all, const kith::result<kith::address>& found, const std::string& meaning) {
    if (found) all.push_back({found->text(), meaning});
}

/// Keys where there is one, ids of private objects, from /proc/sysvipc: its second column is the id.
void sysv_objects(candidates& all, kith::scheme mechanism, const char* file) {
    std::ifstream list{std::string{"/proc/sysvipc/"} + file};
    std::string line;
    std::getline(list, line);  // the heading
    while (std::getline(list, line)) {
        std::istringstream columns{line};
        std::int64_t key = 0;
        int id = 0;
        if (!(columns >> key >> id)) continue;
        const auto id_text = "id " + std::to_string(id);
        if (key != 0)
            add(all, kith::address::of_sysv_key(mechanism, static_cast<std::int32_t>(key)), id_text);
        else
            add(all, kith::address::of_sysv_id(mechanism, id), "private");
    }
}

void posix_objects(candidates& all, kith::scheme mechanism, const std::string& folder) {
    each_entry(folder, [&](const std::string& name) {
        const bool semaphore = folder == "/dev/shm" && name.starts_with("sem.");
        if (folder == "/dev/shm" && semaphore != (mechanism == kith::scheme::posix_sem)) return;
        add(all, kith::address::of_posix(mechanism, '/' + (semaphore ? name.substr(4) : name)), "");
    });
}

std::string name_of_process(const std::string& pid) {
    std::ifstream file{"/proc/" + pid + "/comm"};
    std::string name;
    std::getline(file, name);
    return name;
}

void processes(candidates& all) {
    each_entry("/proc", [&](const std::string& pid) {
        if (std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; }))
            all.push_back({"pid:" + pid, name_of_process(pid)});
    });
}

/// Directories, and what is of the kind that the scheme names, below what is typed so far.
void paths(candidates& all, const std::string& scheme, const std::string& typed, bool (*wanted)(mode_t)) {
    const auto slash = typed.rfind('/');
    const auto folder = slash == std::string::npos ? std::string{} : typed.substr(0, slash + 1);
    each_entry(folder.empty() ? "." : folder, [&](const std::string& name) {
        struct stat file{};
        // Looked at, never opened: opening a FIFO would let its other side in.
        if (::stat((folder + name).c_str(), &file) != 0) return;
        if (S_ISDIR(file.st_mode))
            all.push_back({scheme + folder + name + '/', "directory"});
        else if (wanted(file.st_mode))
            add(all, kith::address::parse(scheme + folder + name), "");
    });
}

/// Listening UNIX sockets; /proc/net/unix shows abstract names with an @ and the type in the fifth column.
void unix_sockets(candidates& all) {
    std::ifstream list{"/proc/net/unix"};
    std::string line;
    std::getline(list, line);
    while (std::getline(list, line)) {
        std::istringstream columns{line};
        std::string address, references, protocol, flags, type, state, inode, name;
        if (!(columns >> address >> references >> protocol >> flags >> type >> state >> inode)) continue;
        std::getline(columns >> std::ws, name);
        constexpr auto listening = "00010000";
        if (name.empty() || flags != listening) continue;
        const auto kind = type == "0005" ? kith::address::socket_type::seqpacket : kith::address::socket_type::stream;
        add(all,
            name.starts_with('@') ? kith::address::of_unix_abstract(std::string_view{name}.substr(1), kind)
                                  : kith::address::of_unix_path(name, kind),
            "listening");
    }
}

void own_descriptors(candidates& all) {
    for (const auto* fd : {"fd:0", "fd:1", "fd:2"}) all.push_back({fd, "standard descriptor"});
}

/// What `verb` works on.
candidates addresses(std::string_view verb, const std::string& typed) {
    candidates all;
    const auto colon = typed.find(':');
    const auto scheme = typed.substr(0, colon);
    const auto usable = schemes_of(verb);
    if (colon == std::string::npos) {
        for (const auto one : usable) all.push_back({std::string{name_of(one)} + ':', "scheme"});
        return all;
    }
    if (std::ranges::find(usable, scheme, [](kith::scheme one) { return name_of(one); }) == usable.end()) return all;
    const auto rest = typed.substr(colon + 1);
    if (scheme == "fd") own_descriptors(all);
    if (scheme == "pid") processes(all);
    if (scheme == "fifo") paths(all, "fifo:", rest, [](mode_t mode) { return S_ISFIFO(mode); });
    if (scheme == "unix") {
        unix_sockets(all);
        paths(all, "unix:", rest, [](mode_t mode) { return S_ISSOCK(mode); });
    }
    if (scheme == "sysv-mq") sysv_objects(all, kith::scheme::sysv_mq, "msg");
    if (scheme == "sysv-sem") sysv_objects(all, kith::scheme::sysv_sem, "sem");
    if (scheme == "sysv-shm") sysv_objects(all, kith::scheme::sysv_shm, "shm");
    if (scheme == "posix-mq") posix_objects(all, kith::scheme::posix_mq, "/dev/mqueue");
    if (scheme == "posix-sem") posix_objects(all, kith::scheme::posix_sem, "/dev/shm");
    if (scheme == "posix-shm") posix_objects(all, kith::scheme::posix_shm, "/dev/shm");
    return all;
}

void verbs_and_options(candidates& all, const CLI::App& verb, const std::string& typed) {
    for (const auto* sub : verb.get_subcommands([](const CLI::App*) { return true; }))
        all.push_back({sub->get_name(), sub->get_description()});
    if (!typed.starts_with('-')) return;
    for (const auto* option : verb.get_options([](const CLI::Option* one) { return !one->get_positional(); }))
        for (const auto& name : option->get_lnames()) all.push_back({"--" + name, option->get_description()});
}

/// The names in a list with commas: each continues what is typed.
template <class List, class Candidate>
candidates each_of(const std::string& typed, const List& list, Candidate candidate_of) {
    const auto comma = typed.rfind(',');
    const auto before = comma == std::string::npos ? std::string{} : typed.substr(0, comma + 1);
    candidates all;
    for (const auto& one : list) {
        all.push_back(candidate_of(one));
        all.back().word.insert(0, before);
    }
    return all;
}

/// The values of an option that takes a few known words.
candidates values_of(const std::string& option, const std::string& typed) {
    if (option == "--only")
        return each_of(typed, tour::all_rows(),
                       [](const tour::row& row) { return candidate{std::string{row.name}, std::string{row.purpose}}; });
    if (option == "--seal") {
        const auto by_name = [](const seal_name& seal) { return candidate{std::string{seal.name}, ""}; };
        auto all = each_of(typed, seal_names, by_name);
        if (typed.find(',') == std::string::npos)
            std::ranges::move(each_of(typed, seal_sets, by_name), std::back_inserter(all));
        return all;
    }
    if (option == "--format")
        return {{"raw", "the bytes"}, {"lines", "a newline behind each"}, {"hex", ""}, {"json", ""}};
    if (one_of(option, {"--timeout"})) return {{"500ms", ""}, {"2s", ""}, {"1m", ""}};
    return {};
}

candidates candidates_for(const CLI::App& app, const std::vector<std::string>& words) {
    const auto& typed = words.back();
    const CLI::App* verb = &app;
    std::size_t at = 0;
    for (; at + 1 < words.size(); ++at) {
        const auto named = verb->get_subcommands([&](const CLI::App* sub) { return sub->get_name() == words[at]; });
        if (named.empty()) break;
        verb = named.front();
    }
    if (words.size() >= 2) {
        if (auto values = values_of(words[words.size() - 2], typed); !values.empty()) return values;
        if (one_of("--", {words[words.size() - 2]})) return {};
    }
    candidates all;
    verbs_and_options(all, *verb, typed);
    const bool takes_address =
        std::ranges::any_of(verb->get_options([](const CLI::Option* one) { return one->get_positional(); }),
                            [](const CLI::Option* one) { return one_of(one->get_single_name(), {"ADDR", "FD"}); });
    // Only the first word that is no option is an address.
    const bool first = std::none_of(words.begin() + static_cast<std::ptrdiff_t>(at), words.end() - 1,
                                    [](const std::string& word) { return word.find(':') != std::string::npos; });
    if (takes_address && first && !typed.starts_with('-'))
        std::ranges::move(addresses(full_name(*verb), typed), std::back_inserter(all));
    return all;
}

}  // namespace

int print_completions(session& s, const CLI::App& app, const std::vector<std::string>& words) {
    if (words.size() < 2 || words[0] != "--") return s.misuse("__complete takes -- and words");
    auto all = candidates_for(app, {words.begin() + 1, words.end()});
    std::erase_if(all, [&](const candidate& one) { return !one.word.starts_with(words.back()); });
    std::ranges::sort(all, {}, &candidate::word);
    const auto [first, last] = std::ranges::unique(all, {}, &candidate::word);
    all.erase(first, last);
    std::string text;
    for (std::size_t i = 0; i < std::min(all.size(), most_candidates); ++i)
        text += all[i].word + '\t' + all[i].meaning + '\n';
    return s.write(text) ? exit_done : exit_failed;
}

}  // namespace kith_cli
