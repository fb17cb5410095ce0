#!/bin/bash
# The report page of {{experiment}}, once its cells are done.
{{directives}}
{{setup}}exec {{report}}
