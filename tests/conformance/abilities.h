#pragma once
#include "tests/conformance/pool_fixture.h"

/// The table of abilities in docs/reference/storage-drivers.md: what the suite has seen each driver do.
namespace lxmgr::conformance {

/// The kernel as it is; others are left out of the table.
void note_ability(const Case& what, const std::string& ability, bool has);

/// When every case has been noted: compares the table with the page, or writes it there with
/// LXMGR_WRITE_ABILITIES=1. False: the page says something else.
bool abilities_are_current();

}  // namespace lxmgr::conformance
