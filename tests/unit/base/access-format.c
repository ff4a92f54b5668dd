/* SPDX-License-Identifier: MIT */
/* Unit tests of base/access-format. */
#include "base/access-format.h"

#include "tap.h"

/* One letter and the text of each atom, so that a format is compared at a glance. */
static void parses_to(const char *format, const char *expected)
{
    _cleanup_(access_format_freep) AccessFormat *f = NULL;
    static const char letters[] = {'L', 'A', 'i', 'o', 'e'};
    char got[512] = "";
    const char *bad;
    size_t n = 0;

    if (access_format_parse(format, &f, &bad) < 0) {
        ok(false, "not refused");
        return;
    }
    for (size_t i = 0; i < f->n_atoms; i++) {
        const AccessAtom *a = &f->atoms[i];

        n += (size_t)snprintf(got + n, sizeof(got) - n, "%c<%.*s>", letters[a->type],
                              a->type == ACCESS_ATOM ? 1 : (int)a->text.size,
                              a->type == ACCESS_ATOM ? &a->atom : a->text.data);
    }
    is_string(got, expected);
}

static void is_refused(const char *format, size_t at)
{
    AccessFormat *f = NULL;
    const char *bad = NULL;
    int r = access_format_parse(format, &f, &bad);

    tap_report(r == -EINVAL && !f && bad == format + at, "refused at %td: %s", bad - format, format);
}

int main(void)
{
    static const char *const incomplete[] = {"%",    "%(",    "%(h",    "%(h)",   "%({",
                                             "%({x", "%({x}", "%({x}i", "%({x}i)"};

    parses_to("", "");
    parses_to("plain", "L<plain>");
    parses_to("%(h)s", "A<h>");
    parses_to("%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"",
              "A<h>L< >A<l>L< >A<u>L< >A<t>L< \">A<r>L<\" >A<s>L< >A<b>L< \">A<f>L<\" \">A<a>L<\">");
    parses_to("%(m)s%(U)s%(q)s%(H)s%(B)s%(T)s%(D)s%(M)s%(L)s%(p)s",
              "A<m>A<U>A<q>A<H>A<B>A<T>A<D>A<M>A<L>A<p>");
    parses_to("%({X-Forwarded-For}i)s\t%({content-type}o)s %({REQUEST_METHOD}e)s",
              "i<X-Forwarded-For>L<\t>o<content-type>L< >e<REQUEST_METHOD>");
    parses_to("100%% of %%(h)s%%", "L<100>L<%>L< of >L<%>L<(h)s>L<%>");
    parses_to("\xc3\xa9", "L<\xc3\xa9>");

    for (size_t i = 0; i < ELEMENTSOF(incomplete); i++)
        is_refused(incomplete[i], 0);
    is_refused("%(h)s %(x)s", 6);
    is_refused("%(h)s%s", 5);
    is_refused("%h", 0);
    is_refused("%(h)d", 0);
    is_refused("%()s", 0);
    is_refused("%(hh)s", 0);
    is_refused("%({}i)s", 0);
    is_refused("%({a b}i)s", 0);
    is_refused("%({x}x)s", 0);
    is_refused("a %%%", 4);
    is_refused("a\nb", 1);
    ok(access_format_free(NULL) == NULL);
    return tap_done();
}
