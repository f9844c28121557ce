# Flags and the three kinds of target: a layer's library, a test, a fuzz target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# The CUDA backend is built where nvcc is found. CMake wants the architectures before it looks at the compiler.
set(FOURSTEP_CUDA_ARCHITECTURES "80;89;90" CACHE STRING "GPU architectures to compile for, as CMake names them")
set(FOURSTEP_HAS_CUDA OFF)
if(FOURSTEP_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES ${FOURSTEP_CUDA_ARCHITECTURES})
  list(TRANSFORM CMAKE_CUDA_ARCHITECTURES REPLACE "^90$" "90a")  # all that Hopper GPUs can, wgmma too
  find_program(FOURSTEP_NVCC nvcc HINTS /usr/local/cuda/bin)
  if(FOURSTEP_NVCC)
    set(CMAKE_CUDA_COMPILER ${FOURSTEP_NVCC})
    enable_language(CUDA)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)  # CMake 3.25 does not know that nvcc 13 has it
    find_package(CUDAToolkit REQUIRED)
    set(FOURSTEP_HAS_CUDA ON)
  endif()
endif()

if(FOURSTEP_STATIC)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
endif()
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
# GNU MPC comes without a file for pkg-config.
set(FOURSTEP_MPC)
foreach(library mpc mpfr gmp)
  find_library(FOURSTEP_LIB_${library} ${library} REQUIRED)
  list(APPEND FOURSTEP_MPC ${FOURSTEP_LIB_${library}})
endforeach()

# A static program runs on machines that have none of the packages above. Debian ships fmt without an archive, so
# its header-only form stands in.
set(FOURSTEP_FMT $<IF:$<BOOL:${FOURSTEP_STATIC}>,fmt::fmt-header-only,fmt::fmt>)

add_library(fourstep_flags INTERFACE)
# -ffp-contract=off: the numeric contract fixes every rounding, so the compiler may not fuse a multiply and an add
# on its own; kernels that want an FMA write one.
target_compile_options(fourstep_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wvla
                       -Wnon-virtual-dtor -ffp-contract=off>
                       # GCC 12 warns falsely on std::string's operator+ (GCC bug 105651).
                       $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>
                       # Under sanitizers Clang leaves loops scalar that are marked as SIMD: slow, not wrong.
                       $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-pass-failed>)
target_compile_options(fourstep_flags INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>)
if(FOURSTEP_DEVELOPER)
  target_compile_options(fourstep_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(FOURSTEP_SANITIZE)
  target_compile_options(fourstep_flags INTERFACE -fsanitize=${FOURSTEP_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(fourstep_flags INTERFACE -fsanitize=${FOURSTEP_SANITIZE})
endif()
if(FOURSTEP_STATIC AND FOURSTEP_HAS_CUDA)  # the driver is a shared library, and so must libc be then
  target_link_options(fourstep_flags INTERFACE -static-libgcc -static-libstdc++)
elseif(FOURSTEP_STATIC)
  target_link_options(fourstep_flags INTERFACE -static)
endif()
if(FOURSTEP_FUZZ)
  target_compile_options(fourstep_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_include_directories(fourstep_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)

# fourstep_library(base SOURCES a.cc b.cc DEPS fourstep_x Pkg::y): the static library of one folder under src/.
function(fourstep_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(fourstep_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(fourstep_${name} PUBLIC fourstep_flags ${ARG_DEPS})
endfunction()

# fourstep_test(name SOURCES x_test.cc DEPS fourstep_x LABELS fast|slow): one GoogleTest program.
function(fourstep_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS fast)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest_main GTest::gmock)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)  # a third less to compile; the libraries do the work
  target_compile_definitions(${name} PRIVATE FOURSTEP_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()

# fourstep_fuzz(name SOURCE x_fuzz.cc DEPS fourstep_x CORPUS folder): built always, so that it never rots. With
# FOURSTEP_FUZZ it is a libFuzzer program; without, it has a main that runs the files of its seed corpus once (a test).
function(fourstep_fuzz name)
  cmake_parse_arguments(ARG "" "SOURCE;CORPUS" "DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCE})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  if(FOURSTEP_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/fuzz/replay_main.cc)
  endif()
  if(FOURSTEP_FUZZ)
    add_test(NAME ${name} COMMAND ${name} -runs=2000 -max_len=65536 ${ARG_CORPUS})
  else()
    add_test(NAME ${name} COMMAND ${name} ${ARG_CORPUS})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "fast" TIMEOUT 300)
endfunction()
