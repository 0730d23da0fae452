#include "images/streams/products.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "images/streams/walk.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

using Path = std::vector<std::string>;

constexpr std::size_t kMaxFiles = 64;         // the index of Ubuntu's releases names 25
constexpr std::size_t kMaxProducts = 20'000;  // all public servers together have fewer
constexpr std::size_t kMaxObjects = 1'000'000;

// What container images are made of: LXD's names, Incus's, and what older servers have.
constexpr std::array<std::string_view, 6> kKinds{
    "lxd.tar.xz", "incus.tar.xz", "lxd_combined.tar.gz", "incus_combined.tar.gz", "squashfs", "root.tar.xz"};

std::unexpected<Error> bad_list(std::string_view what) {
    return fail(Status::bad_request, fmt::format("The image server's list {}", what));
}

class IndexReader : public StreamVisitor {
public:
    Result<> begin(const Path& path) override {
        if (path.size() == 2 && path[0] == "index") entries_.emplace_back();
        return entries_.size() > 10 * kMaxFiles ? Result<>(bad_list("is too long")) : Result<>{};
    }
    Result<> value(const Path& path, std::string_view text) override {
        if (path.size() != 3 || path[0] != "index" || entries_.empty()) return {};
        if (path[2] == "path") entries_.back().path = text;
        if (path[2] == "datatype") entries_.back().datatype = text;
        return {};
    }
    Result<> end(const Path&) override { return {}; }

    Result<std::vector<std::string>> paths() const {
        std::vector<std::string> out;
        for (const auto& entry : entries_) {
            if (entry.datatype == "image-downloads" && !entry.path.empty()) out.push_back(entry.path);
        }
        if (out.size() > kMaxFiles) return bad_list("names too many files");
        return out;
    }

private:
    struct Entry {
        std::string path, datatype;
    };
    std::vector<Entry> entries_;
};

/// products / NAME / versions / VERSION / items / ITEM / key
class ProductReader : public StreamVisitor {
public:
    Result<> begin(const Path& path) override {
        if (path.empty() || path[0] != "products") return {};
        if (path.size() == 2) return begin_product();
        if (path.size() == 4 && path[2] == "versions") products.back().versions.push_back({.name = path[3]});
        if (is_item(path)) item_ = {};
        return ++objects_ > kMaxObjects ? Result<>(bad_list("has too many versions and items")) : Result<>{};
    }

    Result<> end(const Path& path) override {
        if (!is_item(path)) return {};
        if (std::ranges::find(kKinds, item_.ftype) != kKinds.end() && !item_.path.empty())
            products.back().versions.back().items.push_back(std::move(item_));
        item_ = {};
        return {};
    }

    Result<> value(const Path& path, std::string_view text) override {
        if (path.size() < 3 || path[0] != "products" || products.empty()) return {};
        auto& product = products.back();
        if (path.size() == 3) set_product(product, path[2], text);
        if (path.size() == 4 && path[2] == "requirements") product.requirements[path[3]] = text;
        if (path.size() == 5 && path[2] == "versions" && path[4] == "label" && !product.versions.empty())
            product.versions.back().label = text;
        if (path.size() == 7 && path[2] == "versions" && path[4] == "items") set_item(path[6], text);
        return {};
    }

    std::vector<StreamProduct> products;

private:
    static bool is_item(const Path& path) {
        return path.size() == 6 && path[0] == "products" && path[2] == "versions" && path[4] == "items";
    }

    Result<> begin_product() {
        if (products.size() >= kMaxProducts) return bad_list("has too many products");
        products.emplace_back();
        return {};
    }

    static void set_product(StreamProduct& product, const std::string& key, std::string_view text) {
        if (key == "aliases") product.aliases = text;
        if (key == "arch") product.arch = text;
        if (key == "os") product.os = text;
        if (key == "release") product.release = text;
        if (key == "release_title") product.release_title = text;
        if (key == "variant") product.variant = text;
        if (key == "version") product.version = text;
        if (key == "support_eol") product.support_eol = text;
    }

    void set_item(const std::string& key, std::string_view text) {
        if (key == "ftype") item_.ftype = text;
        if (key == "path") item_.path = text;
        if (key == "sha256") item_.sha256 = to_lower(text);
        if (key == "size") item_.size_bytes = parse_uint(text).value_or(0);
        if (key.starts_with("combined_") && key.ends_with("sha256")) item_.combined[key] = to_lower(text);
    }

    StreamItem item_;
    std::size_t objects_ = 0;
};

}  // namespace

Result<std::vector<std::string>> parse_stream_index(std::string_view json) {
    IndexReader reader;
    LX_TRY(walk_stream(json, reader));
    return reader.paths();
}

Result<std::vector<StreamProduct>> parse_stream_products(std::string_view json) {
    ProductReader reader;
    LX_TRY(walk_stream(json, reader));
    return std::move(reader.products);
}

}  // namespace lxmgr::images
