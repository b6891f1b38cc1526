# What `make help` prints, from the Makefile's comments: "## text" behind a
# target, "#? NAME text" for a variable, "# --- Title ---" for what follows.

/^# --- / {
    title = $0
    gsub(/^# -+ | -+$/, "", title)
}

/^[a-z][a-z-]*:.*## / {
    target = $0
    sub(/:.*/, "", target)
    text = $0
    sub(/.*## /, "", text)
    if (title != shown) {
        printf "\n%s\n", title
        shown = title
    }
    printf "  %-22s %s\n", target, text
}

/^#\? / {
    name = $2
    text = $0
    sub(/^#\? [^ ]+ +/, "", text)
    variables = variables sprintf("  %-22s %s\n", name, text)
}

BEGIN { print "make [TARGET]... [VARIABLE=VALUE]..." }
END { printf "\nVariables, also from Makefile.local\n%s", variables }
