#pragma once

namespace lxmgr::conformance {

/// The child's side of the crash sweep: OPERATION DRIVER KERNEL PATH. Exit code 0 on success.
int run_operation(int argc, char** argv);

}  // namespace lxmgr::conformance
