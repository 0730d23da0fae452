#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "images/image.h"
#include "lxd-daemon/base/files.h"

namespace lxmgr::images {

/// A directory in memory for one image at a time; dies when an image reached anything beside its own root.
class ImageBox {
public:
    static ImageBox& instance() {
        static ImageBox box;
        return box;
    }

    void unpack(const std::string& metadata_path, const std::string& rootfs_path) {
        const std::string out = path_ + "/out";
        if (!remove_tree(out) || !make_directory(out)) std::abort();
        const UniqueFd fd(::open(out.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const UnpackLimits limits{.max_bytes = std::uint64_t{4} << 20, .max_entries = 500};
        (void)unpack_rootfs({metadata_path, rootfs_path}, fd.get(), limits, {}, nullptr).has_value();
        check();
    }
    std::string write(const char* name, const std::uint8_t* data, std::size_t size) const {
        const std::string file = path_ + "/" + name;
        std::ofstream(file, std::ios::binary | std::ios::trunc)
            .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
        return file;
    }

private:
    ImageBox() {
        std::string pattern = "/dev/shm/lxmgr-fuzz-XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) std::abort();
        path_ = pattern;
        std::ofstream(path_ + "/canary") << "untouched";
    }
    ~ImageBox() { (void)remove_tree(path_).has_value(); }
    void check() const {
        for (const auto& entry : std::filesystem::directory_iterator(path_)) {
            const auto name = entry.path().filename();
            if (name != "canary" && name != "out" && name != "image") std::abort();
        }
        std::ifstream in(path_ + "/canary");
        std::string text;
        in >> text;
        if (text != "untouched" || std::filesystem::hard_link_count(path_ + "/canary") != 1) std::abort();
    }
    std::string path_;
};

}  // namespace lxmgr::images
