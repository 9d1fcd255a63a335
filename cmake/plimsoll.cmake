# Flags shared by every target, and the two functions by which a folder says what it is made of.
#
#   plimsoll_library(name SOURCES a.c b.c DEPENDS plimsoll_rt ... LIBS PkgConfig::JANSSON ...)
#   plimsoll_test(name SOURCES a_test.c LIBS plimsoll_x ... [TIMEOUT seconds])
#
# One library target a folder; DEPENDS are the folders it may include (as tools/layers.txt says).
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1 -D_FORTIFY_SOURCE=2 -fstack-protector-strong")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(PLIMSOLL_SANITIZE "" CACHE STRING "Sanitizers for every target, for example address,undefined")
option(PLIMSOLL_COVERAGE "Count the lines that tests reach" OFF)
option(PLIMSOLL_FUZZ "Build the libFuzzer harnesses (clang)" OFF)

add_library(plimsoll_flags INTERFACE)
target_compile_definitions(plimsoll_flags INTERFACE _GNU_SOURCE
    PLIMSOLL_VERSION="${PROJECT_VERSION}")
target_compile_options(plimsoll_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Werror -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wundef -Wcast-qual -Wwrite-strings -Wformat=2
    -Wswitch-enum -Wdouble-promotion -fno-common -fno-omit-frame-pointer>)
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
    target_compile_options(plimsoll_flags INTERFACE
        $<$<COMPILE_LANGUAGE:C>:-Wno-gnu-statement-expression
        -Wno-gnu-zero-variadic-macro-arguments -Wno-missing-field-initializers
        -Wno-string-concatenation>)
elseif(NOT PLIMSOLL_SANITIZE)
    target_compile_options(plimsoll_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-Wnull-dereference>)
endif()
target_include_directories(plimsoll_flags INTERFACE
    ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/src/service)
target_link_options(plimsoll_flags INTERFACE -Wl,-z,relro,-z,now)
if(PLIMSOLL_SANITIZE)
    target_compile_options(plimsoll_flags INTERFACE
        -fsanitize=${PLIMSOLL_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(plimsoll_flags INTERFACE -fsanitize=${PLIMSOLL_SANITIZE})
    target_compile_definitions(plimsoll_flags INTERFACE PLIMSOLL_SANITIZED=1)
endif()
if(PLIMSOLL_FUZZ)
    target_compile_options(plimsoll_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(PLIMSOLL_COVERAGE)
    target_compile_options(plimsoll_flags INTERFACE --coverage)
    target_link_options(plimsoll_flags INTERFACE --coverage)
endif()

function(plimsoll_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBS" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC plimsoll_flags ${ARG_DEPENDS} PRIVATE ${ARG_LIBS})
endfunction()

function(plimsoll_test name)
    cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS" ${ARGN})
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 60)
    endif()
    pkg_check_modules(CMOCKA REQUIRED QUIET IMPORTED_TARGET cmocka)
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_LIBS} PkgConfig::CMOCKA Threads::Threads)
    target_compile_definitions(${name} PRIVATE PLIMSOLL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
endfunction()
