#pragma once
#include <string>

namespace lxmgr {

/// The command line of lxmgrd.
struct Options {
    std::string root;             ///< state directory, absolute, without a slash at the end
    std::string group = "lxmgr";  ///< owns the unix socket; root when /etc/group has no such group
    bool group_given = false;     ///< then a group that does not exist is an error
    bool debug = false;
    std::string log_file;
};

}  // namespace lxmgr
