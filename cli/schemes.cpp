#include "schemes.hpp"

#include <algorithm>
#include <span>

namespace kith_cli {
namespace {

using kith::scheme;

constexpr scheme made[] = {scheme::fifo,      scheme::sysv_mq,  scheme::posix_mq, scheme::sysv_sem,
                           scheme::posix_sem, scheme::sysv_shm, scheme::posix_shm};
constexpr scheme removed[] = {scheme::fifo,      scheme::sysv_mq,  scheme::posix_mq,  scheme::sysv_sem,
                              scheme::posix_sem, scheme::sysv_shm, scheme::posix_shm, scheme::unix_socket};
constexpr scheme shown[] = {scheme::fd,          scheme::fifo,      scheme::sysv_mq,  scheme::posix_mq,
                            scheme::sysv_sem,    scheme::posix_sem, scheme::sysv_shm, scheme::posix_shm,
                            scheme::unix_socket, scheme::pid};
constexpr scheme queues[] = {scheme::sysv_mq, scheme::posix_mq};
constexpr scheme carriers[] = {scheme::fd,          scheme::fifo, scheme::sysv_mq, scheme::posix_mq,
                               scheme::unix_socket, scheme::tcp,  scheme::udp};
constexpr scheme sets[] = {scheme::sysv_sem};
constexpr scheme semaphores[] = {scheme::sysv_sem, scheme::posix_sem};
constexpr scheme memory[] = {scheme::sysv_shm, scheme::posix_shm};
constexpr scheme passing[] = {scheme::unix_socket};
constexpr scheme knowing_their_peer[] = {scheme::fd, scheme::unix_socket};
constexpr scheme processes[] = {scheme::pid};
constexpr scheme descriptors[] = {scheme::fd};
constexpr scheme connected[] = {scheme::fifo, scheme::unix_socket, scheme::tcp};
constexpr scheme answering[] = {scheme::fifo, scheme::sysv_mq, scheme::posix_mq, scheme::unix_socket, scheme::tcp};

struct use {
    std::string_view verb;
    std::span<const scheme> schemes;
};
constexpr use uses[] = {
    {"create", made},
    {"rm", removed},
    {"show", shown},
    {"drain", queues},
    {"send", carriers},
    {"recv", carriers},
    {"sem op", sets},
    {"sem get", semaphores},
    {"sem set", sets},
    {"sem wait", semaphores},
    {"sem post", semaphores},
    {"sem lock", semaphores},
    {"shm read", memory},
    {"shm write", memory},
    {"shm hold", memory},
    {"fd send", passing},
    {"fd recv", passing},
    {"peer", knowing_their_peer},
    {"wait", processes},
    {"eventfd add", descriptors},
    {"eventfd read", descriptors},
    {"listen", connected},
    {"connect", connected},
    {"serve", answering},
    {"call", answering},
};

std::string list_of(const std::vector<std::string>& words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i)
        text += (i == 0 ? "" : i + 1 == words.size() ? " and " : ", ") + words[i];
    return text;
}

}  // namespace

std::vector<scheme> schemes_of(std::string_view verb) {
    const auto* const found = std::ranges::find(uses, verb, &use::verb);
    if (found == std::end(uses)) return {};
    return {found->schemes.begin(), found->schemes.end()};
}

std::string verbs_for(scheme mechanism) {
    std::vector<std::string> verbs;
    for (const auto& [verb, schemes] : uses)
        if (std::ranges::find(schemes, mechanism) != schemes.end()) verbs.emplace_back(verb);
    return list_of(verbs);
}

std::string names_of(const std::vector<scheme>& schemes) {
    std::vector<std::string> names;
    names.reserve(schemes.size());
    for (const auto one : schemes) names.push_back(std::string{name_of(one)} + ':');
    return list_of(names);
}

}  // namespace kith_cli
