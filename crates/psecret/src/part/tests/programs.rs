//! Values that are program text, command lines, tables and similar files.

use super::*;

/// Passwords of several lengths: the short ones count by their name only, the long ones count anywhere.
const PASSWORDS: [&str; 3] = ["kT9xWq2Lm7Qx", "kT9xWq2LmZr8K7Qx", "kT9xWq2LmZr8Kc1Vb4NyT9xWq2Lm7Qx"];

#[track_caller]
fn all_contain(shapes: &[&str]) {
    let mut missed = Vec::new();
    for shape in shapes {
        for password in PASSWORDS {
            let value = shape.replace('%', password);
            if !has(&of(value.as_bytes()), password.as_bytes()) {
                missed.push(value);
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn strings_of_programs_are_told_by_the_name_before_them() {
    all_contain(&[
        "<?php\ndefine( 'DB_NAME', 'wp' );\ndefine( 'DB_PASSWORD', '%' );\n",
        "define('DB_PASSWORD', '%');",
        "define(\"DB_PASSWORD\", \"%\"); // ours",
        "<?php return ['host'=>'h','password' => '%',];",
        "array(\"user\" => \"u\", \"password\" => \"%\")",
        "$config = ['password' => '%', 'driver' => 'mysql'];",
        "{ :user => 'u', :password => '%' }",
        "{ user: 'u', password: '%' }",
        "return { user = 'u', password = '%' }",
        "return { user = 'u', [\"password\"] = '%' }",
        "{:db {:password \"%\"}}",
        "{\"https://x\" {:username \"u\" :password \"%\"}}",
        "{api_key,<<\"%\">>}.",
        "[{shop, [{api_key, <<\"%\">>}, {port, 80}]}].",
        "connect(host=\"h\", user=\"u\", password=\"%\")\n",
        "connect(host=\"h\", password=b'%')\n",
        "cfg := Config{User: \"u\", Password: \"%\"}\n",
        "config :shop, Repo,\n  username: \"u\",\n  password: \"%\"\n",
        "if (x) { const apiKey = `%`, region = 'eu' }",
        "# don't forget\nsettings(user: 'u', password: '%')\n",
        "CREATE USER shop WITH PASSWORD '%';\n",
        "CREATE USER 'a'@'h' IDENTIFIED BY '%';\n",
        "CREATE USER 'a'@'h' IDENTIFIED WITH mysql_native_password BY '%';\n",
        "[program:x]\nenvironment=A=\"1\",DB_PASSWORD=\"%\"\n",
    ]);
    contains("connect(user=\"u\", password=\"kT9x\\\"Wq2Lm7Qx\")\n", "kT9x\"Wq2Lm7Qx");
    // A long random string counts without a name.
    contains(&format!("client('h', '{TOKEN}')\n"), TOKEN);
    contains(&format!("do things with [\"{TOKEN}\", 'b']\n"), TOKEN);
}

#[test]
fn command_lines_give_away_their_passwords() {
    all_contain(&[
        "curl -u ci:% https://x",
        "curl --user ci:% https://x",
        "curl -H \"Authorization: Bearer %\" https://x",
        "curl -s -H 'X-Vault-Token: %' https://x",
        "curl -H \"PRIVATE-TOKEN: %\" https://x",
        "docker run -e DB_PASSWORD=% x\n",
        "docker run -e A=1 -e \"DB_PASSWORD=%\" x\n",
        "PGPASSWORD=% psql -h db -U u\n",
        "A=1 PGPASSWORD='%' psql -h db -U u\n",
        "--user ci --password % --host h\n",
        "--user=ci --password=% --host=h\n",
        "mysql -u root -p% shop\n",
        "sshpass -p % ssh ci@h\n",
        "setenv DB_PASSWORD %\n",
        "set -gx DB_PASSWORD %\n",
        "redis-cli -h cache -a % ping\n",
        "user default on >% ~* +@all\n",
        "ACL SETUSER ci on >% +@all\n",
        "user admin insecure-password %\n",
    ]);
}

#[test]
fn tables_and_other_files_have_parts() {
    all_contain(&[
        "Access key ID,Secret access key\nAKIAQ7XZ1K9VB2M4N6P8,%\n",
        "\u{feff}Access key ID,Secret access key\r\nAKIAQ7XZ1K9VB2M4N6P8,%\r\n",
        "\"User name\",\"Password\"\n\"ci\",\"%\"\n",
        "name;password;host\nci;%;h\n",
        "name\tpassword\nci\t%\n",
        "<?xml version=\"1.0\"?><plist><dict><key>User</key><string>u</string><key>Password</key><string>%</string></dict></plist>",
        "db_password = <<EOT\n%\nEOT\n",
        "a = 1\ndb_password = <<-EOT\n  %\n  EOT\nb = 2\n",
        "d: &a %\npassword: *a\n",
        "ciuser\n%\n",
        "<auth-user-pass>\nciuser\n%\n</auth-user-pass>\n",
    ]);
    contains("jdbc:sqlserver://h;user=u;password={kT9xWq2Lm;7Qx}", "kT9xWq2Lm;7Qx");
    let key = "AGE-SECRET-KEY-1QL3Z7HJY54PW3HYWW5AYYFG7ZQGVC7W3J2ELW8ZMRJ2KG5SFN9AQMCAC8P";
    contains_named(&format!("# created: today\n# public key: age1abc\n{key}\n"), "secret key", key);
    // What follows a here-document is read, and so is a text whose document does not end.
    contains(&format!("a = <<EOT\nb\nEOT\npassword = '{PASSWORD}'\n"), PASSWORD);
    contains(&format!("EOT\na = <<EOT\npassword = '{PASSWORD}'\n"), PASSWORD);
}

#[test]
fn programs_without_credentials_are_silent() {
    for value in [
        "<?php return ['host' => 'localhost', 'user' => 'application', 'database' => 'shop_production', 'region' => 'eu-central-1'];",
        "<?php return ['class' => 'App\\\\Http\\\\Controllers\\\\PasswordResetController', 'driver' => 'Illuminate\\\\Database'];",
        "define('DB_HOST', 'database.internal'); define('DB_CHARSET', 'utf8mb4'); define('DB_USER', 'wordpress1');",
        "say(\"It's a longer sentence, with words and a comma.\", 'and another one in quotes, too');",
        "validate(password, 'required|string|confirmed'); label(token, \"Please enter your token\");",
        "const a = 'thisIsAnOrdinaryCamelCaseName', b = 'OAuth2ClientCredentialsGrant', c = 'application/json';",
        "{checksum: 'kT9xWq2LmZr8Kc1Vb4NyT9xWq2Lm7Qx', integrity: 'sha512-kT9xWq2LmZr8Kc1Vb4NyT9xWq2Lm7QxkT9xWq2LmZr8Kc1Vb4==' }",
        "f('7f3c2a10-9b1d-4c2e-8f00-1a2b3c4d5e6f', 'https://shop.example/path/of/something?page=2')",
        "!function(e,t){\"use strict\";var n=\"addEventListener\",r='getElementsByClassName';e[n](t,r)}(window,\"DOMContentLoaded\");",
        "key('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHa1k2b3 ci@host')",
        "docker run -u 1000:1000 -e APP_ENV=production -p 8080:80 shop/app:main-2024",
        "docker login -u ci --password-stdin registry2.example.com",
        "chown www-data:www-data /srv && curl -u ci:$TOKEN https://x -H 'Accept: application/json'",
        "mysql -u root -p shop_production1\nmysql -P 3306 -h db shop",
        "export DB_PASSWORD=$(cat /run/secrets/db_password)\nPGPASSWORD=\"$DB_PASSWORD\" psql -h db",
        "name,token type,host\nci,bearer,registry2.example.com\n",
        "The password, the token and the key\nare words, and these are others too\n",
        "application\nregistry2.example.com/path\n",
        "one1two2three\ntwo words1 here\n",
        "don't say 'hello there' to a user's password\n",
    ] {
        has_none(value);
    }
}
