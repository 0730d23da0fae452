#include <openssl/crypto.h>

#include <exception>
#include <string>
#include <vector>

#include "lxmgr/app.h"
#include "lxmgr/terminal.h"

int main(int argc, char** argv) {
    // Threads that carry TLS (connect_to()) end with the program, perhaps while OpenSSL's own handler at exit
    // would free what they use.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
    try {
        return lxmgr::cli::run_program(std::vector<std::string>(argv + 1, argv + argc));
    } catch (const std::exception& error) {
        lxmgr::cli::print_error(std::string("Internal error: ") + error.what());
        return 1;
    }
}
