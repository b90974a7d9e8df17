// Thin C shims for what Swift cannot spell. Every name is prefixed `coflow_`.
#ifndef COFLOW_H
#define COFLOW_H
#include "coflow_port.h"
#include <stdint.h>
#include "coflow_link.h"
#include "coflow_namespace.h"
#include "coflow_process.h"
#include "coflow_vhost.h"
#include "coflow_vring.h"
#endif
