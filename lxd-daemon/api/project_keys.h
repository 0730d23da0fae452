#pragma once
#include <string>
#include <string_view>
#include <vector>

/// Below rest/ an object of a project is known by one string, its key: the plain name in the project
/// "default", and elsewhere the project before it. No two objects share a key, and what is stored, locked or
/// named on disk by it needs to know nothing of projects. Names of projects hold no '_' and no '/'. What is
/// no name (of a client: "p_c1") has a key that no object has: nobody reaches another project by it.
namespace lxmgr::api {

inline constexpr std::string_view kDefaultProject = "default";

struct ProjectName {
    std::string project, name;
    bool operator==(const ProjectName&) const = default;
};

/// Of instances: "c1", "p_c1". LXD names directories so.
std::string instance_key(std::string_view project, std::string_view name);
ProjectName split_instance_key(std::string_view key);
/// The part of an instance's key behind the project: costs nothing.
std::string_view instance_name(std::string_view key);
/// Whether the key is one of that project: costs nothing.
bool is_of_project(std::string_view instance_key, std::string_view project);

/// For errors that tell the users of one instance that another stands in the way: "instance 'c1'", or of
/// another project no more than that.
std::string named_to(std::string_view asker_key, std::string_view holder_key);

/// Of profiles and custom volumes, whose names hold no '/': "web", "p/web".
std::string object_key(std::string_view project, std::string_view name);
ProjectName split_object_key(std::string_view key);
std::string plain_name(std::string_view key);
std::vector<std::string> plain_names(const std::vector<std::string>& keys);
std::vector<std::string> object_keys(std::string_view project, const std::vector<std::string>& names);

/// Of image aliases, which hold '/' but do not begin with one: "debian/12", "/p/debian/12".
std::string alias_key(std::string_view project, std::string_view name);
ProjectName split_alias_key(std::string_view key);

/// A path of this API: with keys in it, and as clients know it.
struct ProjectUrl {
    std::string project = std::string(kDefaultProject);
    std::string url;  ///< "/1.0/instances/c1/snapshots/s?project=p"; without a query in "default"
};
ProjectUrl split_url(std::string_view url);
std::string public_url(std::string_view url);
std::string instance_url(std::string_view key);
std::string profile_url(std::string_view key);  ///< its name as it is, not encoded
std::vector<std::string> public_urls(const std::vector<std::string>& urls);
/// `url` with ?project=, but for "default".
std::string with_project(std::string url, std::string_view project);

/// An error's text, in which objects of the project stand with their keys, with their names.
std::string with_plain_names(std::string text, std::string_view project);

}  // namespace lxmgr::api
