#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

/// The JSON of simplestreams servers (https://canonical-simplestreams.readthedocs.io): an index, and the
/// files of products that it names. Read without building a tree, so that a hostile document costs no more
/// than what is kept of it.
namespace lxmgr::images {

struct StreamItem {
    std::string ftype, path, sha256;
    std::uint64_t size_bytes = 0;
    /// Fingerprints of this metadata with a root file system: "combined_squashfs_sha256" and so on.
    std::map<std::string, std::string> combined;
};

struct StreamVersion {
    std::string name, label;  ///< "20240501_05:24", "release"
    std::vector<StreamItem> items;
};

struct StreamProduct {
    std::string aliases;  ///< with commas between
    std::string arch, os, release, release_title, variant, version, support_eol;
    std::map<std::string, std::string> requirements;
    std::vector<StreamVersion> versions;
};

/// Paths of the files of products that may have images to be downloaded. Errors: `bad_request`.
Result<std::vector<std::string>> parse_stream_index(std::string_view json);
/// Items of kinds that no container image is made of are left out. Errors: `bad_request` for what is not
/// JSON, nested too deep, or of too many products, versions and items.
Result<std::vector<StreamProduct>> parse_stream_products(std::string_view json);

}  // namespace lxmgr::images
