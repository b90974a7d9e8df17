#include "COFlow.h"
