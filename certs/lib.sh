# shellcheck shell=bash
# What certs/make and certs/make-client share: a CA in a folder, made once and kept, and certificates from it.

say() { printf 'certs/%s: %s\n' "$(basename "$0")" "$*" >&2; }

refuse() {
  say "$*"
  exit 1
}

key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }

# authority FOLDER NAME PAIR DAYS: the CA in FOLDER, a new one called NAME unless there is one. What it signs is PAIR.crt
# and PAIR.key, for DAYS days. Prints whether the CA is new or kept. Whatever would lose something is refused.
authority() {
  local folder=$1 name=$2 pair=$3 days=$4
  if [ -e "$folder/ca.key" ] && [ -e "$folder/ca.crt" ]; then
    kept "$folder" "$pair" "$days"
    echo kept
    return
  fi
  local elsewhere="move what is in $folder away, or name another folder"
  [ ! -e "$folder/ca.key" ] || refuse "$folder/ca.key is there without ca.crt, which whoever trusts this CA has;" \
    "put ca.crt back beside it, or $elsewhere, to begin with a new CA"
  [ ! -e "$folder/ca.crt" ] || refuse "$folder/ca.crt is there without ca.key, so nothing more can be signed by this CA;" \
    "put ca.key back beside it, or $elsewhere, to begin with a new CA"
  local file
  for file in "$pair.crt" "$pair.key"; do
    [ ! -e "$folder/$file" ] ||
      refuse "$folder/$file is there without the CA that signed it, and is not overwritten; $elsewhere"
  done
  key "$folder/ca.key"
  openssl req -x509 -new -key "$folder/ca.key" -sha256 -days "$DAYS_CA" -subj "/CN=$name" \
    -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -out "$folder/ca.crt"
  echo new
}

# kept FOLDER PAIR DAYS: refuses a CA that cannot go on signing, and a pair that it has not signed.
kept() {
  local folder=$1 pair=$2 days=$3 of_key of_certificate
  of_key=$(openssl pkey -in "$folder/ca.key" -pubout 2>/dev/null) ||
    refuse "$folder/ca.key is no private key; put the right one there"
  of_certificate=$(openssl x509 -in "$folder/ca.crt" -noout -pubkey 2>/dev/null) ||
    refuse "$folder/ca.crt is no certificate; put the right one there"
  [ "$of_key" = "$of_certificate" ] ||
    refuse "$folder/ca.key is not the key of $folder/ca.crt; put the right one there, or name another folder for a new CA"
  openssl x509 -in "$folder/ca.crt" -noout -checkend $((days * 86400)) >/dev/null ||
    refuse "the CA in $folder ends before a certificate of $days days would;" \
      "ask for fewer, or name another folder for a new CA, which has to be trusted before its certificates are served"
  if [ -e "$folder/$pair.crt" ] &&
    ! openssl verify -no_check_time -CAfile "$folder/ca.crt" "$folder/$pair.crt" >/dev/null 2>&1; then
    refuse "$folder/$pair.crt is not from the CA beside it, and is not overwritten; move it and $pair.key away"
  fi
}

# sign FOLDER PAIR NAME DAYS EXTENSIONS: a new PAIR.crt and PAIR.key from the CA. The old ones stay until both are good.
sign() {
  local folder=$1 pair=$2 name=$3 days=$4 extensions=$5 new
  new=$(mktemp -d "$folder/new.XXXXXX")
  key "$new/$pair.key"
  printf '%b' "$extensions" >"$new/extensions"
  openssl req -new -key "$new/$pair.key" -subj "/CN=$name" -out "$new/csr"
  openssl x509 -req -in "$new/csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAserial "$new/serial" -CAcreateserial \
    -sha256 -days "$days" -extfile "$new/extensions" -out "$new/$pair.crt" 2>/dev/null ||
    { rm -rf "$new"; refuse "openssl does not sign a certificate for $name; are the names right?"; }
  openssl verify -CAfile "$folder/ca.crt" "$new/$pair.crt" >/dev/null
  mv "$new/$pair.key" "$new/$pair.crt" "$folder"
  rm -rf "$new"
}
