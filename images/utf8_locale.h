#pragma once
#include <locale.h>

namespace lxmgr::images {

/// libarchive translates pax names between UTF-8 and the thread's character set, and mangles them in the C
/// locale.
class Utf8Locale {
public:
    Utf8Locale() : before_(::uselocale(shared())) {}
    Utf8Locale(const Utf8Locale&) = delete;
    Utf8Locale& operator=(const Utf8Locale&) = delete;
    ~Utf8Locale() { ::uselocale(before_); }

private:
    static locale_t shared() {
        static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
        return utf8;
    }
    locale_t before_;
};

}  // namespace lxmgr::images
