//! User and group names, from /etc/passwd and /etc/group.
//!
//! Accounts that come from elsewhere (LDAP, ...) are given by number.

use std::fs;

/// Id of the user `text` names, or is the number of.
pub(super) fn user_id(text: &str) -> Result<u32, String> {
    lookup(text, "/etc/passwd", "user")
}

/// Id of the group `text` names, or is the number of.
pub(super) fn group_id(text: &str) -> Result<u32, String> {
    lookup(text, "/etc/group", "group")
}

fn lookup(text: &str, database: &str, kind: &str) -> Result<u32, String> {
    // All ones is chown's "leave as it is", never an account.
    if let Ok(id) = super::values::integer(text, 0, u64::from(u32::MAX - 1)) {
        return u32::try_from(id).map_err(|e| e.to_string());
    }
    let content =
        fs::read_to_string(database).map_err(|e| format!("cannot read {database}: {e}"))?;
    find(&content, text).ok_or_else(|| format!("no such {kind}"))
}

/// Id (third field) in the line of a passwd-like file whose first field is
/// `name`.
fn find(content: &str, name: &str) -> Option<u32> {
    if name.is_empty() {
        return None;
    }
    content
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1))?)
        .and_then(|id| id.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ids_by_name_and_number() {
        let group = "root:x:0:\ntas:x:977:alice,bob\n:x:5:\nbroken\n";
        assert_eq!(find(group, "tas"), Some(977));
        assert_eq!(find(group, "ta"), None);
        assert_eq!(find(group, "broken"), None);
        assert_eq!(find(group, ""), None);
        assert_eq!(user_id("1000"), Ok(1000));
        assert_eq!(group_id("root"), Ok(0));
        assert!(group_id("4294967295").is_err());
    }
}
