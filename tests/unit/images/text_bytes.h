#pragma once
#include <string>

#include "images/byte_source.h"

namespace lxmgr::images {

/// A few bytes at a time; at their end, what broke.
class TextBytes final : public ByteSource {
public:
    TextBytes(std::string all, std::size_t step, std::string broken = "")
        : all_(std::move(all)), step_(step), broken_(std::move(broken)) {}
    Result<std::string_view> next(const std::stop_token& stop) override {
        if (stop.stop_requested()) return fail(Status::unavailable, "stopped");
        const std::string_view out = std::string_view(all_).substr(at_, step_);
        at_ += out.size();
        if (out.empty() && !broken_.empty()) return fail(Status::bad_request, broken_);
        return out;
    }
    [[nodiscard]] std::uint64_t size_bytes() const override { return all_.size(); }
    [[nodiscard]] std::size_t left() const { return all_.size() - at_; }

private:
    std::string all_;
    std::size_t step_, at_ = 0;
    std::string broken_;
};

}  // namespace lxmgr::images
