#pragma once
#include <optional>
#include <string>

#include "images/template/expression.h"

namespace lxmgr::images::tpl {

/// One of Django's filters that make sense for files of a system. `bad_request` for one that there is not, or
/// that lacks its argument.
Result<Value> run_filter(const std::string& name, const Value& value, const std::optional<Value>& argument);

}  // namespace lxmgr::images::tpl
