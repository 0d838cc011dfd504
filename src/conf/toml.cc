/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml++ behind a C interface. Exceptions end here: they must not cross into C, which
 * would not unwind.
 */
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include <toml++/toml.h>

#include "conf/depth.h"

extern "C" {
#include "conf/node.h"
#include "conf/problem.h"
#include "conf/toml.h"
}

namespace
{

struct node_free {
	void operator()(hf_node *n) const
	{
		hf_node_free(n);
	}
};
using owned = std::unique_ptr<hf_node, node_free>;

struct bad_text {
	unsigned line;
	const char *what;
};

/*
 * Values within values: below what toml++ takes, since inline tables with dotted keys go
 * deeper than it counts, and everything that walks the tree recurses.
 */
constexpr unsigned depth_max = 64;

owned make(hf_node_kind kind, const char *key, const char *text, const char *file, unsigned line)
{
	owned n(hf_node_new(kind, key, text, file, line));

	if (!n)
		throw std::bad_alloc();
	return n;
}

/* A NUL would end the string early in C: "a\u0000b" would be checked as "a". */
const char *checked(const std::string &s, unsigned line)
{
	if (s.find('\0') != std::string::npos)
		throw bad_text{ line, "text must not have a NUL in it" };
	return s.c_str();
}

owned convert(const toml::node &from, const char *key, const char *file, unsigned depth)
{
	const unsigned line = static_cast<unsigned>(from.source().begin.line);
	owned n;

	if (depth > depth_max)
		throw bad_text{ line, "tables and lists are nested too deeply" };
	if (const auto *table = from.as_table()) {
		n = make(HF_NODE_TABLE, key, nullptr, file, line);
		for (const auto &[k, child] : *table) {
			const std::string name(k.str());
			const auto at = static_cast<unsigned>(k.source().begin.line);
			hf_node_add(n.get(),
				    convert(child, checked(name, at), file, depth + 1).release());
		}
	} else if (const auto *array = from.as_array()) {
		n = make(HF_NODE_ARRAY, key, nullptr, file, line);
		for (const auto &child : *array)
			hf_node_add(n.get(), convert(child, nullptr, file, depth + 1).release());
	} else if (const auto *text = from.as_string()) {
		n = make(HF_NODE_STRING, key, checked(text->get(), line), file, line);
	} else if (const auto *number = from.as_integer()) {
		n = make(HF_NODE_INTEGER, key, nullptr, file, line);
		n->number = number->get();
	} else if (const auto *boolean = from.as_boolean()) {
		n = make(HF_NODE_BOOLEAN, key, nullptr, file, line);
		n->number = boolean->get();
	} else {
		n = make(HF_NODE_OTHER, key, nullptr, file, line);
	}
	return n;
}

} // namespace

extern "C" struct hf_node *hf_toml_parse(const char *text, size_t n, const char *file,
					 struct hf_problems *p)
{
	if (const unsigned line = hf_depth_check(text, n)) {
		hf_problem_at(p, HF_PROBLEM_ERROR, file, line, "a key has more than %d parts",
			      HF_KEY_PARTS_MAX);
		return nullptr;
	}
	try {
		const toml::table table = toml::parse(std::string_view(text, n));

		return convert(table, nullptr, file, 0).release();
	} catch (const toml::parse_error &bad) {
		std::string what(bad.description());

		/* The commonest slip: hostname = my-device */
		if (what.find("could not determine value type") != std::string::npos)
			what += "; text needs double quotes";
		hf_problem_at(p, HF_PROBLEM_ERROR, file,
			      static_cast<unsigned>(bad.source().begin.line), "not TOML: %s",
			      what.c_str());
	} catch (const bad_text &bad) {
		hf_problem_at(p, HF_PROBLEM_ERROR, file, bad.line, "%s", bad.what);
	} catch (...) {
		hf_problem_at(p, HF_PROBLEM_ERROR, file, 0, "out of memory");
	}
	return nullptr;
}
