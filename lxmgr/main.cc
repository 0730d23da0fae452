#include <exception>
#include <string>
#include <vector>

#include "lxmgr/app.h"
#include "lxmgr/terminal.h"

int main(int argc, char** argv) {
    try {
        return lxmgr::cli::run_program(std::vector<std::string>(argv + 1, argv + argc));
    } catch (const std::exception& error) {
        lxmgr::cli::print_error(std::string("Internal error: ") + error.what());
        return 1;
    }
}
