#include "lxd-daemon/api/project_keys.h"

#include "lxd-daemon/base/strings.h"

namespace lxmgr::api {
namespace {

std::string joined(std::string_view project, char between, std::string_view name) {
    std::string out;
    out.reserve(project.size() + 1 + name.size());
    if (project != kDefaultProject && !project.empty()) out.append(project).push_back(between);
    return out.append(name);
}

ProjectName cut(std::string_view key, char between) {
    const auto at = key.find(between);
    if (at == std::string_view::npos) return {std::string(kDefaultProject), std::string(key)};
    return {std::string(key.substr(0, at)), std::string(key.substr(at + 1))};
}

constexpr std::string_view kQuery = "?project=";

/// Where a segment of a path stands: [begin, end).
struct Segment {
    std::size_t begin = 0, end = 0;
};

Segment segment_at(std::string_view url, std::size_t begin) {
    const auto end = url.find('/', begin);
    return {begin, end == std::string_view::npos ? url.size() : end};
}

/// Behind "/1.0/storage-pools/POOL/volumes/TYPE/".
std::size_t volume_begin(std::string_view url, std::string_view type) {
    constexpr std::string_view kPools = "/1.0/storage-pools/";
    if (!url.starts_with(kPools)) return std::string_view::npos;
    const auto pool = segment_at(url, kPools.size());
    const std::string rest = "/volumes/" + std::string(type) + "/";
    return url.substr(pool.end).starts_with(rest) ? pool.end + rest.size() : std::string_view::npos;
}

std::size_t instance_begin(std::string_view url) {
    for (const std::string_view prefix :
         {std::string_view("/1.0/instances/"), std::string_view("/1.0/containers/")}) {
        if (url.starts_with(prefix)) return prefix.size();
    }
    return volume_begin(url, "container");
}

/// The segment at `begin` is a key whose parts `between` separates: takes the project out.
ProjectUrl without_key(std::string_view url, std::size_t begin, std::string_view between) {
    const Segment segment = segment_at(url, begin);
    const auto at = url.substr(begin, segment.end - begin).find(between);
    ProjectUrl out;
    out.url = url;
    if (at == std::string_view::npos) return out;
    out.project = url.substr(begin, at);
    out.url.erase(begin, at + between.size());
    return out;
}

}  // namespace

std::string instance_key(std::string_view project, std::string_view name) {
    if (name.find('_') != std::string_view::npos) return "_" + std::string(name);
    return joined(project, '_', name);
}
ProjectName split_instance_key(std::string_view key) { return cut(key, '_'); }

std::string_view instance_name(std::string_view key) { return key.substr(key.find('_') + 1); }

bool is_of_project(std::string_view instance_key, std::string_view project) {
    const auto at = instance_key.find('_');
    if (at == std::string_view::npos) return project == kDefaultProject;
    return instance_key.substr(0, at) == project;
}

std::string named_to(std::string_view asker_key, std::string_view holder_key) {
    if (!is_of_project(holder_key, split_instance_key(asker_key).project))
        return "an instance of another project";
    return "instance '" + std::string(holder_key) + "'";
}

std::string object_key(std::string_view project, std::string_view name) {
    if (name.find('/') != std::string_view::npos) return "/" + std::string(name);
    return joined(project, '/', name);
}
ProjectName split_object_key(std::string_view key) { return cut(key, '/'); }
std::string plain_name(std::string_view key) { return std::string(key.substr(key.find('/') + 1)); }

std::vector<std::string> plain_names(const std::vector<std::string>& keys) {
    std::vector<std::string> out;
    out.reserve(keys.size());
    for (const auto& key : keys) out.push_back(plain_name(key));
    return out;
}

std::vector<std::string> object_keys(std::string_view project, const std::vector<std::string>& names) {
    std::vector<std::string> out;
    out.reserve(names.size());
    for (const auto& name : names) out.push_back(object_key(project, name));
    return out;
}

std::string alias_key(std::string_view project, std::string_view name) {
    if (name.starts_with('/')) return "/" + std::string(name);
    const std::string key = joined(project, '/', name);
    return key.size() == name.size() ? key : "/" + key;
}

ProjectName split_alias_key(std::string_view key) {
    if (!key.starts_with('/')) return {std::string(kDefaultProject), std::string(key)};
    return cut(key.substr(1), '/');
}

ProjectUrl split_url(std::string_view url) {
    ProjectUrl out;
    if (const auto query = url.find(kQuery); query != std::string_view::npos)
        return {std::string(url.substr(query + kQuery.size())), std::string(url)};
    constexpr std::string_view kProfiles = "/1.0/profiles/";
    if (const auto begin = instance_begin(url); begin != std::string_view::npos) {
        out = without_key(url, begin, "_");
    } else if (url.starts_with(kProfiles)) {
        out = without_key(url, kProfiles.size(), "%2F");
    } else if (const auto volume = volume_begin(url, "custom"); volume != std::string_view::npos) {
        out = without_key(url, volume, "%2F");
    } else {
        out.url = url;
    }
    out.url = with_project(std::move(out.url), out.project);
    return out;
}

std::string public_url(std::string_view url) { return split_url(url).url; }

std::string instance_url(std::string_view key) {
    const auto [project, name] = split_instance_key(key);
    return with_project("/1.0/instances/" + name, project);
}

std::string profile_url(std::string_view key) {
    const auto [project, name] = split_object_key(key);
    return with_project("/1.0/profiles/" + url_encode(name), project);
}

std::vector<std::string> public_urls(const std::vector<std::string>& urls) {
    std::vector<std::string> out;
    out.reserve(urls.size());
    for (const auto& url : urls) out.push_back(public_url(url));
    return out;
}

std::string with_project(std::string url, std::string_view project) {
    if (project.empty() || project == kDefaultProject) return url;
    return std::move(url.append(kQuery).append(project));
}

std::string with_plain_names(std::string text, std::string_view project) {
    if (project.empty() || project == kDefaultProject) return text;
    // Not behind '/': paths of the host may hold a project's name.
    for (const char quote : {'\'', '"', ' '}) {
        for (const char between : {'_', '/'}) {
            const std::string key = quote + std::string(project) + between;
            for (auto at = text.find(key); at != std::string::npos; at = text.find(key, at + 1))
                text.erase(at + 1, key.size() - 1);
        }
    }
    return text;
}

}  // namespace lxmgr::api
