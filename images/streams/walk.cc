#include "images/streams/walk.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

using Json = nlohmann::json;
constexpr std::size_t kMaxDepth = 32;

class Walker : public nlohmann::json_sax<Json> {
public:
    explicit Walker(StreamVisitor& visitor) : visitor_(visitor) {}
    std::optional<Error> error;

    bool null() override { return scalar(); }
    bool boolean(bool) override { return scalar(); }
    bool number_integer(number_integer_t number) override { return scalar(fmt::to_string(number)); }
    bool number_unsigned(number_unsigned_t number) override { return scalar(fmt::to_string(number)); }
    bool number_float(number_float_t, const string_t& text) override { return scalar(text); }
    bool binary(binary_t&) override { return scalar(); }
    bool string(string_t& text) override { return has_control_chars(text) ? scalar() : scalar(text); }

    bool key(string_t& name) override {
        key_ = has_control_chars(name) ? std::string("?") : name;
        return true;
    }
    bool start_object(std::size_t) override {
        if (!descend()) return false;
        return arrays_ > 0 || take(visitor_.begin(path_));
    }
    bool end_object() override {
        const bool good = arrays_ > 0 || take(visitor_.end(path_));
        ascend();
        return good;
    }
    bool start_array(std::size_t) override {
        ++arrays_;
        return descend();
    }
    bool end_array() override {
        ascend();
        --arrays_;
        return true;
    }
    bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception&) override {
        error =
            Error{Status::bad_request, fmt::format("The image server's list is no JSON (byte {})", at), 0};
        return false;
    }

private:
    bool take(Result<> done) {
        if (done) return true;
        error = std::move(done).error();
        return false;
    }
    bool scalar() { return true; }
    bool scalar(std::string_view text) {
        if (arrays_ > 0 || depth_ == 0) return true;
        path_.push_back(key_);
        const bool good = take(visitor_.value(path_, text));
        path_.pop_back();
        return good;
    }
    /// The outermost object has no key; nothing in an array has.
    bool descend() {
        if (++depth_ > kMaxDepth) {
            error = Error{Status::bad_request, "The image server's list is nested too deep", 0};
            return false;
        }
        if (depth_ > 1) path_.push_back(std::move(key_));
        key_.clear();
        return true;
    }
    void ascend() {
        if (--depth_ > 0) path_.pop_back();
    }

    StreamVisitor& visitor_;
    std::vector<std::string> path_;
    std::string key_;
    std::size_t depth_ = 0;
    std::size_t arrays_ = 0;
};

}  // namespace

Result<> walk_stream(std::string_view json, StreamVisitor& visitor) {
    Walker walker(visitor);
    const bool good = Json::sax_parse(json, &walker);
    if (walker.error) return std::unexpected(*std::move(walker.error));
    if (!good) return fail(Status::bad_request, "The image server's list is no JSON");
    return {};
}

}  // namespace lxmgr::images
