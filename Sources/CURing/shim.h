// liburing.h asks for another set of libc's names; types that other modules share must be seen first.
#include <sys/select.h>
#include <sys/types.h>
#include <liburing.h>
