#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// Sees a JSON document from its beginning to its end. A path is the keys of the objects around; what is in
/// arrays is not shown.
class StreamVisitor {
public:
    virtual ~StreamVisitor() = default;
    /// Of an object.
    virtual Result<> begin(const std::vector<std::string>& path) = 0;
    virtual Result<> end(const std::vector<std::string>& path) = 0;
    /// Of text (UTF-8 without control characters), or of a number as it is written.
    virtual Result<> value(const std::vector<std::string>& path, std::string_view text) = 0;
};

/// Errors: `bad_request` for what is not JSON, and what is nested deeper than 32; what the visitor says.
Result<> walk_stream(std::string_view json, StreamVisitor& visitor);

}  // namespace lxmgr::images
