#!/bin/sh
# The cases of one folder on one image; statuses as tmt takes them: 1 is red, anything else above 0 an error. Made by
# `virt-aa-conform emit tmt`.
set -eu
group=$1
image=${VIRT_AA_CONFORM_IMAGE:?the plan names the image}
reports=${TMT_TEST_DATA:-.}

exec virt-aa-conform run --image "$image" --profiles "${VIRT_AA_CONFORM_SET:-packaged}" \
    --report human --report "json:$reports/report.json" --report "junit:$reports/junit.xml" "$group/*"
