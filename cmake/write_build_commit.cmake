# cmake -D SOURCE=folder -D OUTPUT=file.cc -P write_build_commit.cmake: the definition of cli/build_commit.h, written
# only where it changed, so that a build of the same commit compiles nothing.
set(COMMIT "")
find_program(GIT git)
if(GIT)
  execute_process(COMMAND ${GIT} --no-optional-locks describe --always --dirty WORKING_DIRECTORY ${SOURCE}
                  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT COMMIT)
  set(COMMIT unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#include "cli/build_commit.h"

namespace fourstep::cli {

std::string_view BuildCommit() {
  return "@COMMIT@";
}

}  // namespace fourstep::cli
]])
