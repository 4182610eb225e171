#!/usr/bin/env node
// A file of its own, since the link to a command is made before the first build.
import '../dist/main.js'
